"""Operations on the pod as a whole: its state, lease and config, and its deletion."""
