"""The tones world: what was heard, in order, and one question about it.

  clip     2.4 s at 16 kHz with two to four events, such as beep buzz beep
  prompt   How often is beep heard? 1, 0, 2, 4
  answer   <think> beep buzz beep </think> <answer> 2 </answer>

It is a task for models that hear, with sounds that numpy makes: a clip is a
function of its kinds of events and a seed. Each question has one right answer
among its options, which counts or compares the kinds. Categories are those of
MMAU: sound, music, speech. One list of kinds in five is held out, in every
category, by a checksum: no held-out list is heard in training.
"""
