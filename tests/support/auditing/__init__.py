"""Networks of which an audit's answer is known."""
