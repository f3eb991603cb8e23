"""Training on labelled answers: KTO, DPO and SFT with TRL. Knows rows in TRL's own formats, never runs or releases."""
