"""
Intents with an out-of-scope answer
===================================

A chat bot knows some intents, and people ask it anything. A text classifier assigns each
question to one of its intents. :class:`~sk_center.OpenSetClassifier` around it
answers "out of scope" if a question is of none of them, and bounds how often that happens
to a question that the bot could have answered.

First a pipeline takes the strings themselves, then a classifier takes an array of sentence
embeddings.
"""

# %%
# Questions
# ---------
#
# The questions to a bank are made here from a few phrases: eight intents are known, and
# five subjects come later, three of which are about money too. Half of the known questions
# train; the others and all of the other subjects test.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sk_center import OpenSetClassifier
from sk_center.metrics import auroc_score

SLOTS = {
    "open": ["", "", "", "please", "hello", "hi there", "sorry to bother you", "quick one"],
    "close": ["", "", "", "today", "please", "on my phone", "it is urgent", "thank you"],
    "show": ["show me", "tell me", "give me", "i need", "what is", "where do i see"],
    "do": ["how do i", "can i", "help me to", "i want to", "let me", "is it possible to"],
    "account": ["account", "savings account", "current account", "shared account"],
    "card": ["card", "credit card", "debit card", "bank card"],
    "person": ["a friend", "my sister", "my landlord", "my son"],
    "sum": ["50 euros", "100 euros", "200 euros", "some money"],
    "money": ["dollars", "pounds", "yen", "francs"],
    "place": ["in town", "at the station", "near me", "in the old center"],
    "day": ["saturday", "sunday", "friday", "a holiday"],
    "month": ["march", "may", "june", "last month"],
    "city": ["berlin", "paris", "rome", "oslo"],
}
KNOWN = {
    "balance": [
        "{show} the balance of my {account}",
        "how much money is left in the {account}",
        "do i have {sum} in my {account}",
    ],
    "transfer": [
        "{do} send {sum} to {person}",
        "{do} make a transfer from the {account}",
        "transfer {sum} to the account of {person}",
    ],
    "lost card": [
        "i lost my {card} {place}",
        "my {card} was stolen",
        "{do} block my {card}",
    ],
    "pin": [
        "i forgot the pin of my {card}",
        "{do} change the pin",
        "the machine {place} does not take my pin",
    ],
    "opening hours": [
        "when does the branch {place} open on {day}",
        "{show} the opening hours {place}",
        "is the bank open on {day}",
    ],
    "exchange rate": [
        "how many {money} do i get for {sum}",
        "{show} the rate of {money}",
        "{do} change {sum} to {money}",
    ],
    "address": [
        "i moved to {city}",
        "my new address is in {city}",
        "{do} change the address of my {account}",
    ],
    "statement": [
        "{show} the statement of {month}",
        "{do} download the statements of my {account}",
        "{person} wants a statement of {month}",
    ],
}
OTHER = {
    "limit": ["{do} raise the limit of my {card}", "{show} the limit of my {account}"],
    "new account": ["{do} open a {account} for {person}", "what does a {card} cost"],
    "loan": ["{do} get a loan of {sum}", "{show} the interest of a loan in {month}"],
    "travel": ["{do} go to {city} on {day}", "is it cold in {city} in {month}"],
    "food": ["where is a restaurant {place}", "{do} order a pizza for {person}"],
}


def questions(phrases, n_each, rng):
    """Return random questions of each subject, and the subjects."""
    texts = []
    for phrase in np.ravel([rng.choice(ways, n_each) for ways in phrases.values()]):
        slots = {slot: rng.choice(words) for slot, words in SLOTS.items()}
        words = ("{open} " + phrase + " {close}").format(**slots).split()
        kept = rng.random(len(words)) > 0.1  # people leave words out
        texts.append(" ".join(np.array(words)[kept]))
    return np.array(texts), np.repeat([*phrases], n_each)


rng = np.random.default_rng(0)
texts, intents = questions(KNOWN, 80, rng)
texts_other, _ = questions(OTHER, 60, rng)
texts_train, texts_test, y_train, y_test = train_test_split(
    texts, intents, test_size=0.5, stratify=intents, random_state=0
)
for intent in KNOWN:
    print(f"{intent:14} {texts_train[y_train == intent][0]}")

# %%
# From raw strings
# ----------------
#
# TF-IDF and logistic regression are the usual start. The open-set classifier goes
# outermost, around the whole pipeline, and its label for outsiders may be any string that
# is not an intent.

pipe = make_pipeline(
    TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10)
)
bot = OpenSetClassifier(
    pipe, false_rejection_rate=0.05, outlier_label="out of scope", cv=5, random_state=0
)
bot.fit(texts_train, y_train)

asked = ["i think my credit card was stolen", "will it rain tomorrow", "i want a loan"]
for text, answer in zip(asked, bot.predict(asked)):
    print(f"{text:36} -> {answer}")

# %%
# At most 5 % of the known questions are out of scope by mistake, on average over the
# samples that calibrate (``cv=5`` makes the bound approximate). The classifier alone is
# correct for the known questions, and always wrong for the others:


def report(name, model, known, other):
    """Print the shares rejected, and how well the score ranks known before other."""
    scores = np.concatenate([model.score_samples(known), model.score_samples(other)])
    labels = np.concatenate([y_test, np.full(len(other), "out of scope")])
    auroc = auroc_score(labels, scores, labels=model.classes_)
    rejected = model.is_outlier(known).mean(), model.is_outlier(other).mean()
    print(f"{name:22} {rejected[0]:6.1%} {rejected[1]:6.1%}  {auroc:.3f}")


print(f"accuracy without rejection: {bot.estimator_.score(texts_test, y_test):.1%}")
print("rejected                known  other  AUROC")
report("TF-IDF, default", bot, texts_test, texts_other)
largest = OpenSetClassifier(pipe, conformity_score="max_softmax", cv=5, random_state=0)
report("largest probability", largest.fit(texts_train, y_train), texts_test, texts_other)

# %%
# The default score adds the direction of the nearest training question of the predicted
# intent to the confidence of the classifier: a question whose words all occur in training
# may still be of no intent.
#
# From sentence embeddings
# ------------------------
#
# A pretrained sentence encoder knows words that the training questions lack. It turns each
# text into a row of some hundred numbers, once, and all later steps are as with any table.
# Here a ``TruncatedSVD`` of words and parts of words stands in, so that nothing has to be
# loaded; an encoder of sentence-transformers is ``encoder.encode(texts)``.

encoder = make_pipeline(
    TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
    TruncatedSVD(64, random_state=0),
).fit(questions(KNOWN, 80, rng)[0])  # others: it must not have seen those that calibrate
E_train, E_test, E_other = map(encoder.transform, (texts_train, texts_test, texts_other))

on_embeddings = OpenSetClassifier(
    LogisticRegression(C=100), outlier_label="out of scope", cv=5, random_state=0
).fit(E_train, y_train)
print("rejected                known  other  AUROC")
report("embeddings, default", on_embeddings, E_test, E_other)

# %%
# No ``StandardScaler`` is before the classifier: embeddings carry their meaning in their
# direction, which standardizing columns changes. The default score uses directions if there
# are many columns.
# The p-values below show how typical a question is. Those of known questions are spread
# evenly, by construction, and those of other subjects lie near zero; the line is the rate.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
models = {"TF-IDF": (bot, texts_test, texts_other)}
models["embeddings"] = (on_embeddings, E_test, E_other)
for ax, (name, (model, known, other)) in zip(axes, models.items()):
    p_values = [model.p_known(known), model.p_known(other)]
    shares = [np.full(len(p), 1 / len(p)) for p in p_values]
    ax.hist(p_values, np.linspace(0, 1, 21), weights=shares, label=["known", "other"])
    ax.axvline(0.05, color="black", linestyle="--", linewidth=1)
    ax.set(title=name, xlabel="p-value")
axes[0].set_ylabel("share of questions")
axes[0].yaxis.set_major_formatter("{x:.0%}")
axes[0].legend()
plt.show()

# %%
# The share of the other questions that are rejected depends on how similar they are to the
# intents, and is not bounded. The best score and classifier can be found without
# out-of-scope questions, by leaving intents out:
# :ref:`sphx_glr_auto_examples_plot_tune_without_outsiders.py`.
