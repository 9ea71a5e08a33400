# Read by examples/shared/settings.py, never run. Arguments of train.py win over this file.
steps = 1000
batch_size = 128
learning_rate = 0.3
eval_interval = 50
