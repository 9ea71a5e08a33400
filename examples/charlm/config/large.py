# A few million parameters: for a GPU.
steps = 5000
batch_size = 64
context = 256
layers = 6
heads = 6
width = 384
learning_rate = 0.001
warmup_steps = 100
eval_interval = 250
eval_batches = 16
checkpoint_interval = 500
max_chars = 2000000
