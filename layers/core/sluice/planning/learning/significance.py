"""What is more than chance: the differences that count as evidence, for all that is learned from counts."""

FEW = 3.0  # messages: a difference of three is chance
COUNT_ERROR = 0.05  # counts are approximate by so much, and what they are compared with
LIKELY = 2.0  # standard deviations up to which a difference may be chance
CLEAR = 0.25  # a difference of a quarter is no noise, whatever makes it
RECENT_PERIODS = 3  # what happens now is judged by the last minutes, not by one of them
REMEMBERED_S = 3600.0  # what was true an hour ago may be tried again
TWICE = 2.0  # one period may have twice or half of what is expected, and one day twice the most of another; hardly more
