"""Trains a small network on the handwritten digits that ship with scikit-learn."""

import argparse
import json
import pathlib
import time

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def batches(size, batch, rng):
    order = rng.permutation(size)
    return [order[start:start + batch] for start in range(0, size, batch)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=64, help="units in the hidden layer")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(
        digits.data / 16, digits.target, test_size=0.25, random_state=options.seed, stratify=digits.target)
    print(f"{len(train_x)} images to learn from, {len(test_x)} to test with", flush=True)

    rng = np.random.default_rng(options.seed)
    model = MLPClassifier((options.hidden,), learning_rate_init=0.003, random_state=options.seed)
    history = []
    for epoch in range(1, options.epochs + 1):
        started = time.perf_counter()
        losses = []
        for rows in batches(len(train_x), 64, rng):
            model.partial_fit(train_x[rows], train_y[rows], classes=digits.target_names)
            losses.append(model.loss_)
        loss = float(np.mean(losses))
        accuracy = model.score(test_x, test_y)
        history.append({"epoch": epoch, "loss": round(loss, 5), "accuracy": round(accuracy, 5)})
        print(f"epoch {epoch:2}/{options.epochs}  loss {loss:.4f}  accuracy {accuracy:.4f}  "
              f"{(time.perf_counter() - started) * 1000:.0f} ms", flush=True)

    outputs = pathlib.Path("outputs")
    outputs.mkdir(exist_ok=True)
    joblib.dump(model, outputs / "model.joblib")
    metrics = {"accuracy": history[-1]["accuracy"] if history else None, "epochs": history}
    (outputs / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"wrote {outputs / 'model.joblib'} and {outputs / 'metrics.json'}", flush=True)


if __name__ == "__main__":
    main()
