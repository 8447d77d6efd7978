"""Instructions that a program checks: constraints on an answer, and prompts.

In the spirit of IFEval (Zhou et al., `Instruction-Following Evaluation
<https://arxiv.org/abs/2311.07911>`_, 2023), with kinds and wordings of our own.
"""
