"""Stops itself and is never continued.

state: failed
class: stalled
timeout: 20
"""

import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
