"""Checks of what a flow needs, before any money is spent: on this machine and on the pod.

P00 makes the local ones and `wf doctor` all of them. docs/doctor.md lists them.
"""
