"""Fails as a full disk makes it fail.

state: failed
class: disk_full
exit: 1
"""

with open("/dev/full", "w") as f:
    f.write("weights")
