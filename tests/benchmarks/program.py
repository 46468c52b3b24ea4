"""The command line of the programs that the suite runs beside the receiver; ``Stage.program`` writes it."""

import argparse
from pathlib import Path


def read_options(*more: str) -> argparse.Namespace:
    """Read ``server``, ``ca`` (a path), ``token`` (from its file), and ``more`` options; all are texts."""
    parser = argparse.ArgumentParser()
    for name in ("server", "ca", "token-file", *more):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    options.token = Path(options.token_file).read_text("ascii")
    return options
