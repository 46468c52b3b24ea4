"""Settings as the command line reads them."""

import os
from collections.abc import Mapping, Sequence

from controller.cli.settings import OneLineParser, Settings, add_arguments, read


def parse(flags: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from a list of flags. Raises SettingsError; exits with 2 on an unknown flag."""
    parser = OneLineParser(prog="run")
    add_arguments(parser)
    return read(parser.parse_args(flags), environ)
