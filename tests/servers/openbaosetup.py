"""What tests want to find in an OpenBao: mounts, policies, tokens and roles.

Every name is new, so that tests can share one server.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import hvac

    from tests.servers.kubernetes import TokenReviews

__all__ = ["AppRole", "Setup", "fresh_name"]

_numbers = itertools.count(1)


def fresh_name(stem: str) -> str:
    """Makes a name that no other test of this machine uses."""
    return f"{stem}-{os.getpid()}-{next(_numbers)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRole:
    """A role of the AppRole login, and what logs in to it."""

    mount: str
    name: str
    role_id: str
    secret_id: str


class Setup(ABC):
    """Sets a server up, as root of it."""

    @abstractmethod
    def client(self, token: str | None = None, *, namespace: str | None = None) -> hvac.Client:
        """Makes a client; without a token it is root's."""

    def create_namespace(self) -> str:
        """Makes a namespace; what is in it is set up with a `client` of it."""
        name = fresh_name("namespace")
        self.client().sys.create_namespace(name)
        return name

    def enable_secrets(self, kind: str, mount: str | None = None, **options: Any) -> str:
        """Mounts a secrets engine.

        Args:
            kind: ``kv``, ``transit`` and so on.
            mount: Where; a new name when None.  It may contain slashes.
            **options: The engine's own, such as ``version="1"`` of ``kv``.

        Returns:
            The mount's path.
        """
        mount = mount or fresh_name(kind)
        self.client().sys.enable_secrets_engine(kind, path=mount, options=options or None)
        return mount

    def enable_auth(self, kind: str, mount: str | None = None) -> str:
        """Mounts a way to log in (``approle``, ``cert``, ``kubernetes``), and returns its path."""
        mount = mount or fresh_name(kind)
        self.client().sys.enable_auth_method(kind, path=mount)
        return mount

    def policy(self, rules: str) -> str:
        """Writes a policy in HCL, and returns its new name."""
        name = fresh_name("policy")
        self.client().sys.create_or_update_policy(name=name, policy=rules)
        return name

    def token(self, policies: Sequence[str], **options: Any) -> str:
        """Creates an orphan token.

        Args:
            policies: Names of policies.
            **options: What hvac's ``auth.token.create_orphan`` takes, such as ``ttl="2s"``,
                ``period="1h"``, ``num_uses=3``, ``renewable=False``, ``explicit_max_ttl="5s"``.
        """
        made = self.client().auth.token.create_orphan(
            policies=list(policies), no_default_policy=False, **options
        )
        token: str = made["auth"]["client_token"]
        return token

    def approle(self, policies: Sequence[str], **options: Any) -> AppRole:
        """Makes a role of a new AppRole mount.

        Args:
            policies: What tokens of the role may do.
            **options: What hvac's ``create_or_update_approle`` takes, such as
                ``token_ttl="2s"``, ``token_period="1h"``, ``secret_id_num_uses=1``.
        """
        client, mount = self.client(), self.enable_auth("approle")
        name = fresh_name("role")
        client.auth.approle.create_or_update_approle(
            role_name=name, token_policies=list(policies), mount_point=mount, **options
        )
        role = client.auth.approle.read_role_id(name, mount_point=mount)
        secret = client.auth.approle.generate_secret_id(name, mount_point=mount)
        return AppRole(
            mount=mount,
            name=name,
            role_id=role["data"]["role_id"],
            secret_id=secret["data"]["secret_id"],
        )

    def certificate_role(self, certificate: bytes, policies: Sequence[str], **options: Any) -> str:
        """Lets clients log in with a certificate that this one has signed, or is.

        Args:
            certificate: In PEM.
            policies: What their tokens may do.
            **options: What hvac's ``create_ca_certificate_role`` takes, such as
                ``token_ttl=2``.

        Returns:
            The path of a new ``cert`` mount; its only role is called ``dkim``.
        """
        mount = self.enable_auth("cert")
        self.client().auth.cert.create_ca_certificate_role(
            name="dkim",
            certificate=certificate.decode(),
            token_policies=list(policies),
            mount_point=mount,
            **options,
        )
        return mount

    def kubernetes_role(
        self,
        api: TokenReviews,
        policies: Sequence[str],
        *,
        namespace: str,
        account: str,
        **options: Any,
    ) -> str:
        """Lets pods of a service account log in.

        Args:
            api: Who reviews their tokens of Kubernetes.
            policies: What their tokens of OpenBao may do.
            namespace: The service account's.
            account: The service account's name.
            **options: What hvac's ``create_role`` takes, such as ``ttl="2s"``.

        Returns:
            The path of a new ``kubernetes`` mount; its only role is called ``dkim``.
        """
        client, mount = self.client(), self.enable_auth("kubernetes")
        client.auth.kubernetes.configure(
            api.url,
            kubernetes_ca_cert=api.authority.certificate.decode(),
            disable_local_ca_jwt=True,
            mount_point=mount,
        )
        client.auth.kubernetes.create_role(
            name="dkim",
            bound_service_account_names=[account],
            bound_service_account_namespaces=[namespace],
            policies=list(policies),
            mount_point=mount,
            **options,
        )
        return mount
