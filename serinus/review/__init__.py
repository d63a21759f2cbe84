"""Decisions that a model referred to a person: the queue of them, and the person's answer as a label.

``rules`` is pure: what an answer means by the contract, and which way the model leaned.
``queue`` follows the decision logs and keeps who is at what; ``desk`` lets people take cases
and answer them, under the access policy and with a record of it.
"""

from serinus.review.desk import ReviewDesk
from serinus.review.queue import Case, Queue
from serinus.review.rules import Answered, answer_of, leaning, words_of

__all__ = ["Answered", "Case", "Queue", "ReviewDesk", "answer_of", "leaning", "words_of"]
