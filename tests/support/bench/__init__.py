"""What the benchmarks measure with: costs of both sides, competitors, figures."""
