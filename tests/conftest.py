"""One thread for every test: small tensors run faster so, and workers do not fight for cores."""

import torch

torch.set_num_threads(1)
