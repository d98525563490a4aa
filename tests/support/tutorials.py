"""Notebooks in the manner of well-known tutorials, each with a module that it uses, and with data that it makes itself.

They follow pandas' "10 minutes to pandas", matplotlib's "Pyplot tutorial", scikit-learn's "Getting Started" and
PyTorch's "Learning PyTorch with Examples".
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tutorial:
    """One of them.

    Attributes
    ----------
    library
        The package that it is about, as it is imported.
    helper
        Text of ``src/helper.py``; a save puts another number in the place of ``{}``.
    text
        Its cells, with lines ``# %%`` between them; the one that imports the helper is the first that uses it.
    """

    library: str
    helper: str
    text: str

    @property
    def cells(self):
        return [cell.strip("\n") for cell in self.text.split("# %%\n")]

    @property
    def first_use(self):
        """The place of the first cell that uses the helper."""
        return next(place for place, cell in enumerate(self.cells) if "import helper" in cell)


PANDAS = Tutorial(
    "pandas",
    "def scaled(frame):\n    return frame * {}\n",
    """
import numpy as np
import pandas as pd
random = np.random.default_rng(0)
# %%
s = pd.Series([1, 3, 5, np.nan, 6, 8])
s
# %%
dates = pd.date_range("20130101", periods=6)
df = pd.DataFrame(random.standard_normal((6, 4)), index=dates, columns=list("ABCD"))
df
# %%
df2 = pd.DataFrame({
    "A": 1.0, "B": pd.Timestamp("20130102"), "C": pd.Series(1, index=range(4)), "D": np.array([3] * 4),
    "E": pd.Categorical(["test", "train", "test", "train"]), "F": "foo",
})
df2.dtypes
# %%
pd.DataFrame(random.random((50_000, 4)), columns=list("wxyz")).to_csv("long.csv")
long = pd.read_csv("long.csv", index_col=0)
long.describe()
# %%
import sys
sys.path.insert(0, "src")
import helper
# %%
helper.scaled(df)
# %%
df.loc["20130102":"20130104", ["A", "B"]], df.iloc[3:5, 0:2], df[df["A"] > 0]
# %%
# What was there before is changed in place.
df["E"] = ["one", "one", "two", "three", "four", "three"]
df.loc[dates[0], "A"] = helper.scaled(0.5)
df[df["E"].isin(["two", "four", "one"])]
# %%
df.drop(columns="E").agg(lambda x: np.mean(x) * 5.6), s.value_counts()
# %%
left = pd.DataFrame({"key": ["foo", "bar"], "lval": helper.scaled(np.array([1, 2]))})
right = pd.DataFrame({"key": ["foo", "bar"], "rval": [4, 5]})
pd.merge(left, right, on="key")
# %%
df.groupby("E")[["C", "D"]].sum()
# %%
long.groupby(long["w"] > 0.5)[["x", "y"]].mean().pipe(helper.scaled)
# %%
df2.pivot_table(values="D", index="E", columns="F", observed=True)
# %%
ts = pd.Series(random.standard_normal(100), index=pd.date_range("1/1/2000", periods=100)).cumsum()
helper.scaled(ts).resample("ME").mean()
""",
)

MATPLOTLIB = Tutorial(
    "matplotlib",
    "import numpy as np\n\n\ndef f(t):\n    return np.exp(-t) * np.cos({} * np.pi * t)\n",
    r"""
import matplotlib.pyplot as plt
import numpy as np
# %%
plt.plot([1, 2, 3, 4], [1, 4, 9, 16], "ro")
plt.axis((0, 6, 0, 20))
plt.ylabel("some numbers")
plt.show()
# %%
data = {"a": np.arange(50), "c": np.random.default_rng(1).integers(0, 50, 50)}
data["b"] = data["a"] + 10 * np.random.default_rng(2).standard_normal(50)
plt.scatter("a", "b", c="c", data=data)
plt.show()
# %%
drawn_later, axes = plt.subplots(figsize=(4, 2))
plt.close(drawn_later)
# %%
import sys
sys.path.insert(0, "src")
import helper
# %%
t1, t2 = np.arange(0.0, 5.0, 0.1), np.arange(0.0, 5.0, 0.02)
plt.subplot(211)
plt.plot(t1, helper.f(t1), "bo", t2, helper.f(t2), "k")
plt.subplot(212)
plt.plot(t2, np.cos(2 * np.pi * t2), "r--")
plt.show()
# %%
lines = axes.plot(t2, helper.f(t2))
drawn_later
# %%
names, values = ["group_a", "group_b", "group_c"], [1, 10, 100 * helper.f(0.1)]
plt.figure(figsize=(9, 3))
plt.subplot(131)
plt.bar(names, values)
plt.subplot(132)
plt.scatter(names, values)
plt.subplot(133)
plt.plot(names, values)
plt.suptitle("Categorical Plotting")
plt.show()
# %%
x = 100 + 15 * np.random.default_rng(3).standard_normal(10_000)
n, bins, patches = plt.hist(x, 50, density=True, facecolor="g", alpha=0.75)
plt.text(60, 0.025, r"$\mu=100,\ \sigma=15$")
plt.grid(True)
plt.show()
""",
)

SKLEARN = Tutorial(
    "sklearn",
    "def features(data):\n    return data[:, :{}]\n",
    """
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
clf = RandomForestClassifier(random_state=0)
clf.fit([[1, 2, 3], [11, 12, 13]], [0, 1])
clf.predict([[4, 5, 6], [14, 15, 16]])
# %%
from sklearn.datasets import load_iris, make_regression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import RandomizedSearchCV, cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
X, y = load_iris(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
# %%
forest = RandomForestClassifier(50, random_state=0).fit(X_train, y_train)
accuracy_score(forest.predict(X_test), y_test)
# %%
import sys
sys.path.insert(0, "src")
import helper
# %%
few = helper.features(X_train)
few.shape
# %%
pipe = make_pipeline(StandardScaler(), LogisticRegression()).fit(few, y_train)
accuracy_score(pipe.predict(helper.features(X_test)), y_test)
# %%
X, y = make_regression(n_samples=200, random_state=0)
cross_validate(RandomForestRegressor(5, random_state=0), helper.features(X), y)["test_score"]
# %%
search = RandomizedSearchCV(
    RandomForestRegressor(random_state=0), n_iter=2, cv=2, random_state=0,
    param_distributions={"n_estimators": range(1, 5), "max_depth": range(5, 10)},
)
search.fit(helper.features(X), y)
search.best_params_, search.best_score_
# %%
# What has learnt before learns on.
forest.set_params(n_estimators=60, warm_start=True).fit(X_train, y_train).predict_proba(X_test)[:2]
""",
)

TORCH = Tutorial(
    "torch",
    "import torch\n\n\ndef target(x):\n    return torch.sin({} * x)\n",
    """
import math
import torch
generator = torch.manual_seed(0)
# %%
x_data = torch.tensor([[1, 2], [3, 4]])
torch.ones_like(x_data), torch.rand_like(x_data, dtype=torch.float)
# %%
large = torch.rand(800, 800)
for _ in range(5):
    large = large @ large / large.norm()
large.sum()
# %%
x = torch.linspace(-math.pi, math.pi, 2000)
xx = x.unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
xx.shape
# %%
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
list(model.parameters())
# %%
import sys
sys.path.insert(0, "src")
import helper
# %%
a, b, c, d = (torch.randn((), requires_grad=True) for _ in range(4))
for t in range(200):
    loss = (a + b * x + c * x ** 2 + d * x ** 3 - helper.target(x)).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        for w in (a, b, c, d):
            w -= 1e-6 * w.grad
            w.grad = None
loss.item(), a.item()
# %%
# What was made before learns.
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
for t in range(200):
    loss = torch.nn.functional.mse_loss(model(xx), helper.target(x))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
loss.item(), list(model.parameters())
# %%
helper.target(large[:2, :2]), torch.rand(2)
""",
)

TUTORIALS = {one.library: one for one in (PANDAS, MATPLOTLIB, SKLEARN, TORCH)}
