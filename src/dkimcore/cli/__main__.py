"""``python -m dkimcore.cli``: the command where no script was installed."""

import sys

from dkimcore.cli import main

sys.exit(main())
