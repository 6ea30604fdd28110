"""The key backends ``vault-kv:`` and ``vault-transit:``, for HashiCorp Vault and OpenBao.

``kv`` fetches private keys that sign in this process, ``transit`` has signatures made by the
server, ``making`` makes keys for both or brings them there.  They share one `client.VaultClient`
for each backend section: its connections (``transport``), its login (``logins``, ``tokens``,
``renewal``) and what its refusals mean (``refusals``).

hvac knows the paths and parameters of the API (``bridge``).  The connections under it are
urllib3's own, which it brings along: they are bounded in time and size, follow no redirect to
another host, and read nothing from the environment.
"""

from __future__ import annotations

__all__: list[str] = []
