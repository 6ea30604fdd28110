"""Which key signs for which author, and which hosts are ours, with OpenDKIM's semantics.

`SigningTable` finds the rows for an author, `KeyTable` says what their keys' names stand for,
`plan` joins both; `dkimcore.signers.signers_for` opens the keys.  `HostSet` is InternalHosts
and its like.  `DataSet` reads what all are made of: ``file:``, ``refile:``, ``csl:``.
"""

from dkimcore.tables.dataset import DataSet, Row
from dkimcore.tables.finding import Finding
from dkimcore.tables.hostset import HostSet
from dkimcore.tables.keytable import KeyRow, KeyTable
from dkimcore.tables.lists import field_names
from dkimcore.tables.location import DataSetType
from dkimcore.tables.plan import PlannedSignature, plan
from dkimcore.tables.signingtable import SigningRow, SigningTable

__all__ = [
    "DataSet",
    "DataSetType",
    "Finding",
    "HostSet",
    "KeyRow",
    "KeyTable",
    "PlannedSignature",
    "Row",
    "SigningRow",
    "SigningTable",
    "field_names",
    "plan",
]
