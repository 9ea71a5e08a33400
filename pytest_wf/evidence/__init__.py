"""Records of a flow: their shapes, the folder, the hash chain, events, signatures, `wf verify`."""
