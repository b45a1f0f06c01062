"""How features and losses lie: latent space, latent separation, loss surfaces."""
