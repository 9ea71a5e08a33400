"""What a further attempt of a row goes on from: the newest whole checkpoint of those before."""
