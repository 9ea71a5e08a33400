"""Files and logs of runs, listed and streamed to the controller."""
