"""What Sluice needs of the world, as Protocols. `sluice.aws` and `sluice.memory` implement them."""
