"""Checks of everything that a flow needs, before any cost: on this machine and on the pod.

P00 runs the local checks and `wf doctor` all of them. docs/doctor.md lists them.
"""
