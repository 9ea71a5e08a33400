# Read by examples/shared/settings.py, never run. Arguments of train.py win over this file.
steps = 150
batch_size = 16
context = 64
layers = 2
width = 64
learning_rate = 0.003
