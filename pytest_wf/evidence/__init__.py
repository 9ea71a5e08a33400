"""Records of a flow: their schemas, the folder, the hash chain, events, signatures, `wf verify`."""
