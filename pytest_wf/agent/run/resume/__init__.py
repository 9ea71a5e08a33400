"""What a further attempt of a row resumes from: the newest whole checkpoint of earlier attempts."""
