"""What can go wrong with the local stack, as errors a stranger can act on.

StackError
├── DownloadError        the Kafka jars could not be had
├── MissingProgramError  a program that must be installed is not there
├── ForeignError         a port, a data folder or a broker is not ours
├── NotReadyError        a service did not become ready, or died first
└── SettingsFileError    a file or address given by the user cannot be used
"""


class StackError(Exception):
    """The local stack cannot do what was asked; the message says what to do about it."""


class DownloadError(StackError):
    """A jar could not be downloaded, or what came is not what was asked for."""


class MissingProgramError(StackError):
    """A program the stack needs is not installed; the message names it and how to install it."""


class ForeignError(StackError):
    """Something in the way belongs to someone else: it is named and left alone."""


class NotReadyError(StackError):
    """A service died before it was ready or did not become ready in time."""


class SettingsFileError(StackError):
    """A settings file or an address that the user gave cannot be used."""
