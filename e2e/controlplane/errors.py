"""What can go wrong while a control plane is built, started or used: each is one line a person can act on."""


class ControlPlaneError(Exception):
    """One clear line: what failed and what to do about it."""


class CommandError(ControlPlaneError):
    """A kubectl command was refused; the message is kubectl's own."""
