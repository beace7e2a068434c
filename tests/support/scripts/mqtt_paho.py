"""Cases on paho-mqtt, by other people: mqtt_paho.py PORT CASE; exits with 0 if what the case wants is so."""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PORT = int(sys.argv[1])
PATIENCE = 30


class Client:
    """A client whose answers are waited for."""

    def __init__(self, name="", version=5, clean=True, expiry=0, will=None):
        self.heard = {kind: queue.Queue() for kind in ("connect", "subscribe", "unsubscribe", "publish", "message", "end")}
        five = version == 5
        options = {} if five else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name,
            protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311, **options)
        self.client.on_connect = lambda c, u, flags, code, props: self.tell("connect", (flags, code, props))
        self.client.on_subscribe = lambda c, u, mid, codes, props: self.tell("subscribe", [code.value for code in codes])
        self.client.on_unsubscribe = lambda c, u, mid, codes, props: self.tell("unsubscribe", [code.value for code in codes])
        self.client.on_publish = lambda c, u, mid, code, props: self.tell("publish", code.value)
        self.client.on_message = lambda c, u, message: self.tell("message", message)
        self.client.on_disconnect = lambda c, u, flags, code, props: self.tell("end", code.value)
        if will is not None:
            self.client.will_set(**will)
        more = {}
        if five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = expiry
            more = {"clean_start": clean, "properties": properties}
        self.client.connect("127.0.0.1", PORT, keepalive=60, **more)
        self.client.loop_start()
        self.flags, self.code, self.properties = self.next("connect")

    def tell(self, kind, what):
        self.heard[kind].put(what)

    def next(self, kind):
        return self.heard[kind].get(timeout=PATIENCE)

    def has_none(self, kind):
        return self.heard[kind].empty()

    def subscribe(self, filters, **more):
        self.client.subscribe(filters, **more)
        return self.next("subscribe")

    def publish(self, topic, payload, qos=0, **more):
        self.client.publish(topic, payload, qos, **more)
        return self.next("publish")

    def message(self):
        message = self.next("message")
        return message.topic, message.payload.decode(), message.qos, message.retain

    def leave(self):
        self.client.disconnect()
        self.next("end")
        self.client.loop_stop()

    def vanish(self):
        """Ends the connection below, without a word."""
        self.client._sock_close()
        self.client.loop_stop()


def both(case):
    for version in (4, 5):
        case(version)


def levels(version):
    """Every quality of service there and back, as the lower of the two says."""
    client = Client(version=version)
    for granted in range(3):
        topic = f"levels/{granted}"
        assert client.subscribe([(topic, granted)]) == [granted]
        for qos in range(3):
            client.publish(topic, f"{qos}", qos)
            assert client.message() == (topic, f"{qos}", min(qos, granted), False)
    client.leave()


def wildcards(version):
    client = Client(version=version)
    assert client.subscribe([("a/+/c", 0), ("b/#", 1), ("/+", 2)]) == [0, 1, 2]
    sent = ["a/b/c", "a/b/d", "b", "b/x/y", "/z", "z", "a//c"]
    for topic in sent:
        client.publish(topic, topic, 2)
    client.publish("b/last", "", 2)
    came = []
    while not came or came[-1] != "b/last":
        came.append(client.message()[0])
    assert came == ["a/b/c", "b", "b/x/y", "/z", "a//c", "b/last"], came
    client.leave()


def retained(version):
    client = Client(version=version)
    for qos in range(3):
        client.publish(f"kept/{qos}", f"{qos}", qos, retain=True)
    client.subscribe([("kept/+", 2)])
    came = sorted(client.message() for _ in range(3))
    assert came == [(f"kept/{qos}", f"{qos}", qos, True) for qos in range(3)], came
    for qos in range(3):
        client.publish(f"kept/{qos}", "", 1, retain=True)
        client.message()
    other = Client(version=version)
    other.subscribe([("kept/+", 2), ("mark", 0)])
    other.publish("mark", "x")
    assert other.message()[0] == "mark"
    other.leave()
    client.leave()


def sessions(version):
    name = f"session-{version}"
    first = Client(name, version, clean=False, expiry=300)
    assert not first.flags.session_present
    first.subscribe([("mine", 2)])
    first.leave()
    other = Client(version=version)
    for number in range(10):
        other.publish("mine", f"{number}", version - 3)
    other.leave()
    second = Client(name, version, clean=False, expiry=300)
    assert second.flags.session_present
    assert [second.message()[1] for _ in range(10)] == [f"{number}" for number in range(10)]
    second.leave()
    third = Client(name, version, clean=True)
    assert not third.flags.session_present
    third.leave()


def wills(version):
    watcher = Client(version=version)
    watcher.subscribe([("gone", 1)])
    will = {"topic": "gone", "payload": "x", "qos": 1}
    Client(version=version, will=will).leave()
    Client(version=version, will={**will, "payload": "y"}).vanish()
    assert watcher.message() == ("gone", "y", 1, False)
    watcher.leave()


def takeover(version):
    first = Client("twice", version)
    second = Client("twice", version)
    first.next("end")
    second.subscribe([("here", 0)])
    second.publish("here", "x")
    assert second.message()[1] == "x"
    first.client.loop_stop()
    second.leave()


def unsubscribing(version):
    client = Client(version=version)
    client.subscribe([("a", 1), ("b", 1)])
    client.client.unsubscribe(["a", "never"])
    codes = client.next("unsubscribe")
    assert version == 4 or codes == [0, 0x11], codes
    client.publish("a", "1", 1)
    client.publish("b", "2", 1)
    assert client.message()[0] == "b"
    client.leave()


def shared():
    members = [Client() for _ in range(2)]
    for member in members:
        assert member.subscribe([("$share/group/work", 1)]) == [1]
    boss = Client()
    for number in range(20):
        assert boss.publish("work", f"{number}", 1) == 0
    counts = [0, 0]
    import time
    deadline = time.monotonic() + PATIENCE
    while sum(counts) < 20 and time.monotonic() < deadline:
        for number, member in enumerate(members):
            while not member.has_none("message"):
                member.message()
                counts[number] += 1
        time.sleep(0.01)
    assert counts == [10, 10], counts
    for client in [*members, boss]:
        client.leave()


def options():
    """No local, retain as published, retain handling, numbers of subscriptions (MQTT 5 §3.8.3.1)."""
    client, other = Client(), Client()
    other.publish("o/kept", "k", 1, retain=True)
    client.subscribe([("o/#", SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=2))])
    client.publish("o/own", "x", 1)
    properties = Properties(PacketTypes.SUBSCRIBE)
    properties.SubscriptionIdentifier = 7
    client.client.subscribe([("o/seen", SubscribeOptions(qos=2))], properties=properties)
    client.next("subscribe")
    other.publish("o/seen", "y", 2, retain=True)
    message = client.next("message")
    assert (message.topic, message.qos, message.retain) == ("o/seen", 2, True), message.topic
    assert message.properties.SubscriptionIdentifier == [7]
    other.leave()
    client.leave()


def properties():
    client = Client()
    client.subscribe([("p", 1)])
    sent = Properties(PacketTypes.PUBLISH)
    sent.PayloadFormatIndicator = 1
    sent.ContentType = "text/plain"
    sent.ResponseTopic = "answers"
    sent.CorrelationData = b"\x00\xff"
    sent.UserProperty = [("a", "1"), ("a", "2")]
    sent.MessageExpiryInterval = 100
    assert client.publish("p", "x", 1, properties=sent) == 0
    came = client.next("message").properties
    assert (came.ContentType, came.ResponseTopic, came.CorrelationData) == ("text/plain", "answers", b"\x00\xff")
    assert came.UserProperty == [("a", "1"), ("a", "2")]
    assert came.PayloadFormatIndicator == 1 and came.MessageExpiryInterval <= 100
    assert client.publish("nobody", "x", 1) == 0x10
    client.leave()


def delayed_will():
    watcher = Client()
    watcher.subscribe([("late", 0)])
    def will(payload, delay):
        properties = Properties(PacketTypes.WILLMESSAGE)
        properties.WillDelayInterval = delay
        return {"topic": "late", "payload": payload, "qos": 0, "properties": properties}
    Client("late-1", expiry=60, will=will("x", 50)).vanish()
    back = Client("late-1", clean=False, expiry=60)
    assert back.flags.session_present
    Client("late-2", expiry=60, will=will("y", 1)).vanish()
    assert watcher.message()[1] == "y"
    back.leave()
    watcher.leave()


CASES = {
    "levels": lambda: both(levels),
    "wildcards": lambda: both(wildcards),
    "retained": lambda: both(retained),
    "sessions": lambda: both(sessions),
    "wills": lambda: both(wills),
    "takeover": lambda: both(takeover),
    "unsubscribing": lambda: both(unsubscribing),
    "shared": shared,
    "options": options,
    "properties": properties,
    "delayed_will": delayed_will,
}

for name in sys.argv[2:]:
    CASES[name]()
    print("ok", name)
