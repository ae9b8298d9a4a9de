"""Whatever signs, proves or seals: device keys, proofs, tokens, nonces, the installation's keys, TLS."""
