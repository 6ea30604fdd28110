"""``python -m dkimcore_milter``: the command ``dkimcore-milter``."""

import sys

from dkimcore_milter.command import main

if __name__ == "__main__":
    sys.exit(main())
