"""Ignores the request to end when its time is over.

state: timed_out
class: timeout
timeout: 1
"""

import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(3600)
