"""Programs that tools send into the sandbox, one file each, so that it bears what they meet.

Each is a plain script for Python 3.8 or later, standard library only. It reads its request as JSON
on stdin; prints text for the model and exits with 0, or says no: exit code 3, and on stderr a line
with the error code and a line with the message.
"""
