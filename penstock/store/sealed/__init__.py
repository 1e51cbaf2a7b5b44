"""A store whose content is sealed: encrypted before it is kept, opened when it is shown.

What keeps it knows nothing of that, and neither does who asks.
"""
