"""The local stack: a real Kafka, a real Redis, the control API and workers, on one machine, with one command.

info = ensure_up(Path(".sluice"))
...                                  # info.bootstrap, info.api_url
if info.started_here:
    take_down(info.data_dir)
"""

from sluice.stack.errors import StackError
from sluice.stack.lifecycle import StackInfo, ensure_up, take_down
from sluice.stack.progress import Announcer, ConsoleAnnouncer

__all__ = ["Announcer", "ConsoleAnnouncer", "StackError", "StackInfo", "ensure_up", "take_down"]
