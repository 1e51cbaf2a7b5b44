"""``penstock message``: all its commands. ``penstock send`` and ``penstock receive`` are the same as those here."""

from penstock.cli import message_changes, message_views, messages, moves
from penstock.cli.gathering import CommandGroup

app = CommandGroup("Messages: send, receive, look without receiving, change, redrive.")

for name, command in (
    ("send", messages.send),
    ("receive", messages.receive),
    ("settle", messages.settle),
    ("peek", message_views.peek),
    ("list", message_views.list_messages),
    ("show", message_views.show),
    ("edit", message_changes.edit),
    ("delete", message_changes.delete),
    ("cancel", message_changes.cancel),
    ("reschedule", message_changes.reschedule),
    ("redrive", moves.redrive),
    ("moves", moves.list_moves),
    ("cancel-move", moves.cancel_move),
):
    app.command(name)(command)
