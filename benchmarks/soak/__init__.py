"""Whether memory, descriptors and answers stay as they are over many thousands of messages.

`letters` has the messages and the answer that each must get, `traffic` sends them and counts the
answers, `site` is the milter they go to, `gauges` reads what its processes hold, `soak` is the run
and its verdict.
"""
