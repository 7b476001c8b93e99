"""DAgger and its family: learners that collect data with their own policy, round by round."""
