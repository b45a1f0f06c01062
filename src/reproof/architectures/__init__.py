"""Networks, one file each, found by looking in this folder; every one names its latent features."""
