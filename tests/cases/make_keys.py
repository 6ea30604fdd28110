"""Make the fixed RSA keys of the case set: `python -m tests.cases.make_keys [name ...]`.

Only for adding one: the stored keys never change, so that every run signs the same octets.
Needs the openssl command, because libraries refuse the sizes that a verifier must refuse too.
"""

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "keys"

# RSA modulus sizes in bits; "b" is a second key of the ordinary size, "e3" has exponent 3.
NAMES = ("512", "768", "1023", "1024", "1025", "1536", "2047", "2048", "b", "e3")
LARGE_NAMES = ("3072", "4096", "8192", "8208", "16384")


def command(name: str, path: Path) -> list[str]:
    """The openssl command that makes the key called `name`."""
    openssl = shutil.which("openssl") or "openssl"
    bits = name if name.isdigit() else "2048"
    exponent = ["-3"] if name == "e3" else []
    return [openssl, "genrsa", "-traditional", *exponent, "-out", str(path), bits]


def main(names: list[str]) -> None:
    """Make each named key that is not there yet."""
    for name in names or [*NAMES, *LARGE_NAMES]:
        path = FOLDER / f"rsa{name}.pem"
        if not path.exists():
            subprocess.run(command(name, path), check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
