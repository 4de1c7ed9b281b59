"""Other clients of the same user and database: short transactions that change nothing, so that servers change hands.

They hold a server more than half of their time. With fewer servers than clients the one under test hardly ever finds
the server it gave back.
"""

import random
import threading
import time

from rawwire import Wire, one_statement, query, sync


class Neighbours:
    def __init__(self, address, user, database, parameters=(), count=4):
        self.failures = []
        self.transactions = 0
        self._stop = threading.Event()
        self._login = address, user, database, dict(parameters)
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number):
        address, user, database, parameters = self._login
        chance = random.Random(number)
        while not self._stop.is_set():
            try:
                with Wire(address, timeout=60) as wire:
                    wire.login(user, database, parameters=parameters)
                    for _ in range(1000):
                        if self._stop.is_set():
                            break
                        self._transaction(wire, chance)
                    wire.leave()
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(f"neighbour {number}: {error!r}")
                self._stop.wait(1)

    def _transaction(self, wire, chance):
        kind = chance.randrange(4)
        if kind == 0:
            wire.query("SELECT 1")
        elif kind == 1:
            wire.ask(one_statement("SELECT $1::int + 1", [chance.randrange(9)]) + sync())
        else:
            wire.query("BEGIN")
            time.sleep(chance.uniform(0.0005, 0.003))
            wire.query("SELECT 1")
            wire.ask(query(chance.choice(("COMMIT", "ROLLBACK"))))
        self.transactions += 1
        time.sleep(chance.uniform(0, 0.001))
