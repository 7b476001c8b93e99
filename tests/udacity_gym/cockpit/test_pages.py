"""The cockpit end to end, in a real Chromium without a window.

Each test waits for what it wants to see; none measures time.
"""

import gymnasium
import numpy as np
import pytest

from udacity_gym.cockpit import Limits
from udacity_gym.cockpit.setup import Setup
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import open_recording, record
from udacity_gym.recording.tools import edits_of
from udacity_gym.telemetry import CAMERAS


def start_and_record(person, folder):
    person.page.fill("#folder", folder)
    person.page.locator("#folder").blur()
    person.page.keyboard.press("r")
    person.until("state.frame.tape.running")
    person.hold("ArrowUp")
    person.until("state.frame.who === 'driving' && state.frame.car.speed > 1")


def test_drive_with_keys_record_discard_and_read_back(serve, visit, tmp_path):
    cockpit = serve()
    person = visit(cockpit.url).ready()
    person.reads(".badge.who", "PAUSED")
    start_and_record(person, "by-hand")
    person.hold("ArrowLeft")
    person.until("state.frame.car.steering < -0.2")
    person.release("ArrowLeft")
    person.until("state.frame.tape.frames >= 20")
    person.release("ArrowUp")
    person.page.keyboard.press("p")
    person.until("state.frame.who === 'paused'")
    before = person.value("state.frame.tape.frames")
    person.reads(".badge.tape", "REC")
    person.page.click("#discard")
    person.until(f"state.frame.tape.discarded > 0 && state.frame.tape.frames < {before}")
    person.page.keyboard.press("p")
    person.hold("KeyW")
    person.until("state.frame.tape.frames >= 10")
    person.release("KeyW")
    person.page.keyboard.press("p")
    person.until("state.frame.who === 'paused'")
    person.page.click("#finish")
    person.until("!state.frame.tape.open")
    person.reads(".event", "frames were added to by-hand")
    recording = open_recording(tmp_path / "workspace" / "by-hand")
    assert len(recording) >= 10
    assert {finding.kind.name for finding in recording.report} <= {"standing still"}
    steps = np.concatenate([np.diff(episode.time) for episode in recording.episodes if len(episode) > 1])
    assert np.allclose(steps, 1 / 15, atol=2e-3)
    assert {extra["driver"] for episode in recording.episodes for extra in episode.extras()} == {"human"}


@pytest.mark.long
def test_discard_the_episode_with_one_key(serve, visit, tmp_path):
    person = visit(serve().url).ready()
    start_and_record(person, "fumbled")
    person.until("state.frame.tape.frames >= 8")
    person.release("ArrowUp")
    person.page.keyboard.press("p")
    person.until("state.frame.who === 'paused'")
    person.page.keyboard.press("Shift+Backspace")
    person.until("state.frame.tape.frames === 0")
    person.page.click("#finish")
    person.until("!state.frame.tape.open")
    assert not (tmp_path / "workspace" / "fumbled").exists()


@pytest.mark.long
def test_take_over_a_policy_and_hand_back(serve, visit, tmp_path):
    person = visit(serve(Setup(driver="pure_pursuit")).url).ready()
    person.page.fill("#folder", "taken")
    person.page.locator("#folder").blur()
    person.page.keyboard.press("r")
    person.page.click("#pause")
    person.until("state.frame.who === 'autonomous' && state.frame.car.speed > 2")
    person.reads(".badge.who", "AUTONOMOUS")
    person.hold("ArrowRight")
    person.until("state.frame.who === 'correcting'")
    person.reads(".badge.who", "CORRECTING")
    person.release("ArrowRight")
    person.page.keyboard.press("Enter")
    person.until("state.frame.who === 'autonomous'")
    person.page.keyboard.press("p")
    person.until("state.frame.who === 'paused'")
    time = person.value("state.frame.car.time")
    person.page.click("#step")
    person.until(f"state.frame.car.time > {time}")
    assert person.value("state.frame.car.time") == pytest.approx(time + 1 / 15, abs=1e-3)
    person.page.click("#slow")
    person.until("state.frame.pace === 0.25")
    person.page.click("#finish")
    person.until("!state.frame.tape.open")
    extras = [
        e for episode in open_recording(tmp_path / "workspace" / "taken").episodes for e in episode.extras()
    ]
    assert {extra["driver"] for extra in extras} == {"expert", "human"}
    assert all("policy_action" in extra for extra in extras)
    assert any(extra["intervention"] for extra in extras)


@pytest.mark.long
def test_a_second_browser_watches_until_the_wheel_is_handed_over(serve, visit):
    cockpit = serve()
    first = visit(cockpit.url).ready()
    second = visit(cockpit.url).ready()
    assert second.page.is_disabled("#record")
    first.hold("ArrowUp")
    second.until("state.frame.who === 'driving' && state.frame.car.speed > 1")
    second.reads(".badge.who", "SOMEBODY DRIVES")
    second.hold("ArrowDown")
    speed = second.value("state.frame.car.speed")
    second.until(f"state.frame.car.speed > {speed}")  # the brake of who watches does nothing
    first.release("ArrowUp")
    first.page.click("text=/Hand the wheel/")
    second.until("state.frame.driver === state.page")
    second.until("state.frame.car.brake === 1")
    second.release("ArrowDown")


@pytest.mark.long
def test_a_lost_connection_pauses_the_car_and_the_page_comes_back(serve, visit):
    cockpit = serve()
    driver = visit(cockpit.url).ready()
    watcher = visit(cockpit.url).ready()
    driver.hold("ArrowUp")
    watcher.until("state.frame.who === 'driving' && state.frame.car.speed > 1")
    page = driver.value("state.page")  # every connection has a number of its own
    driver.page.evaluate("cockpit.socket.close()")
    watcher.until("state.frame.who === 'paused' && state.frame.hold === 'nobody has the wheel'")
    driver.until(f"state.online && state.page !== {page} && state.frame.driver === state.page")
    assert driver.value("state.frame.who") == "paused"
    driver.release("ArrowUp")
    driver.hold("ArrowUp")
    driver.until("state.frame.who === 'driving'")
    driver.context.close()
    watcher.until("state.frame.who === 'paused'")
    watcher.page.click("#take-wheel")
    watcher.until("state.frame.driver === state.page")


def test_the_wheel_is_locked_with_the_reason_while_the_page_is_too_slow(serve, visit, clock):
    cockpit = serve(clock=clock, limits=Limits())
    person = visit(cockpit.url).ready()
    stop = person.page.evaluate_handle(
        "() => { const { socket } = cockpit, send = socket.send.bind(socket);"
        " socket.send = (text) => { if (!text.startsWith('[\"shown\"')) send(text); }; return send; }"
    )
    person.until("state.frame.stamp")
    clock.now += 0.4
    # The images are drawn, but nobody says so: to the server they are frozen.
    for _ in range(50):
        if "frozen" in (cockpit.session.seats.trouble() or ""):
            break
        clock.now += 0.1
        cockpit.session.seats.heard(person.value("state.page"))
        person.page.wait_for_timeout(20)
    assert "image frozen" in (cockpit.session.seats.trouble() or "")
    stop.dispose()


def test_wrong_token_wrong_host_and_another_site(serve, visit, browser):
    cockpit = serve(token="right-token", names=["cockpit.test"])
    context = browser.new_context()
    page = context.new_page()
    assert page.goto(f"http://127.0.0.1:{cockpit.port}/").status == 403
    assert page.goto(f"http://127.0.0.1:{cockpit.port}/?token=wrong").status == 403
    assert page.goto(f"http://evil.test:{cockpit.port}/?token=right-token").status == 403
    assert page.goto(f"http://cockpit.test:{cockpit.port}/?token=right-token").status == 200
    assert "token" not in page.url
    outcome = page.evaluate(
        "(port) => new Promise((done) => { const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`);"
        " socket.onopen = () => done('open'); socket.onclose = socket.onerror = () => done('closed');"
        " setTimeout(() => socket.close(), 60000); })",
        cockpit.port,
    )
    assert outcome == "closed"  # another origin, and the page's own policy forbids it as well
    context.close()


def test_the_page_obeys_its_policy_and_loads_nothing_from_elsewhere(serve, browser):
    cockpit = serve()
    context = browser.new_context()
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(cockpit.url)
    page.wait_for_selector(".badge.who")
    page.wait_for_selector(".strip")
    for view in ("teach", "recordings", "judge"):
        page.click(f"nav a[href='#{view}']")
        page.wait_for_selector("main .card, main p")
    assert complaints == []
    assert all(url.startswith((cockpit.url, "blob:")) for url in asked)
    context.close()


@pytest.mark.long
def test_phone_size_with_touch(serve, visit):
    cockpit = serve()
    person = visit(
        cockpit.url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    ).ready()
    assert person.page.is_visible("#touch-wheel")
    assert person.value("document.documentElement.scrollWidth <= innerWidth")
    touch = person.context.new_cdp_session(person.page)
    person.page.locator("#touch-pedals").scroll_into_view_if_needed()
    wheel, pedals = (person.page.locator(name).bounding_box() for name in ("#touch-wheel", "#touch-pedals"))

    def points(dx):
        middle = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in (wheel, pedals)]
        return [
            {"x": middle[0][0] + dx, "y": middle[0][1], "id": 1},
            {"x": middle[1][0], "y": middle[1][1], "id": 2},
        ]

    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points(0)})
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points(30)})
    person.until(
        "state.frame.car.steering > 0.1 && state.frame.car.throttle > 0.3 && state.frame.car.speed > 0.5"
    )
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    person.until("state.frame.car.throttle === 0")


@pytest.mark.long
def test_mouse_drag_steers(serve, visit):
    person = visit(serve().url).ready()
    box = person.page.locator(".view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    person.page.mouse.move(x, y)
    person.page.mouse.down()
    person.page.mouse.move(x - box["width"] / 6, y - box["height"] / 4)
    person.until("state.frame.car.steering < -0.3 && state.frame.car.throttle > 0.5")
    person.page.mouse.up()
    person.until("state.frame.car.throttle === 0")


@pytest.mark.long
def test_a_gamepad_steers_with_a_curve_and_its_buttons_work(serve, visit):
    person = visit(serve(Setup(driver="pure_pursuit")).url).ready()
    person.page.evaluate(
        "() => { window.pad = { id: 'Test Pad', mapping: 'standard', connected: true, axes: [0, 0, 0, 0],"
        " buttons: Array.from({ length: 17 }, () => ({ pressed: false, value: 0 })) };"
        " navigator.getGamepads = () => [window.pad]; }"
    )
    person.page.evaluate("() => { pad.axes[0] = 0.5; pad.buttons[7] = { pressed: true, value: 0.75 }; }")
    person.until("state.frame.who === 'correcting' && state.frame.car.throttle === 0.75")
    curve = ((0.5 - 0.08) / 0.92) ** 1.7
    person.until(f"Math.abs(state.frame.car.steering - {curve}) < 0.01")
    person.page.evaluate("() => { pad.axes[0] = 0.05; pad.buttons[7] = { pressed: false, value: 0 }; }")
    person.page.evaluate("() => { pad.buttons[1] = { pressed: true, value: 1 }; }")
    person.until("state.frame.who === 'autonomous'")
    person.page.evaluate("() => { pad.buttons[9] = { pressed: true, value: 1 }; }")
    person.until("state.frame.who === 'paused'")


@pytest.mark.long
def test_choose_track_weather_and_view_in_the_page(serve, visit):
    person = visit(serve().url).ready()
    person.page.select_option("#track", "jungle")
    person.until("state.frame.setup.track === 'jungle' && state.frame.ready && state.frame.car")
    person.page.select_option("#conditions", "rain")
    person.until("state.frame.setup.conditions === 'rain' && state.frame.ready && state.frame.car")
    person.page.locator("#conditions").blur()
    person.page.keyboard.press("v")
    person.until("state.frame.view === 'cockpit'")
    person.page.keyboard.press("c")
    person.until("document.querySelectorAll('.cameras canvas').length === 3")
    person.page.keyboard.press("h")
    assert person.page.is_visible("#help")
    person.hold("ArrowUp")  # in a dialog keys don't drive
    person.page.keyboard.press("h")
    person.release("ArrowUp")
    assert person.value("state.frame.who") == "paused"


@pytest.mark.long
def test_browse_a_recording_leave_rows_out_and_undo(serve, visit, tmp_path):
    cockpit = serve(Setup(driver="pure_pursuit"))
    person = visit(cockpit.url).ready()
    person.page.fill("#folder", "looked-at")
    person.page.locator("#folder").blur()
    person.page.keyboard.press("r")
    person.page.click("#pause")
    person.until("state.frame.tape.frames >= 40")
    person.page.click("#finish")
    person.until("!state.frame.tape.open")
    person.page.keyboard.press("p")
    log = (tmp_path / "workspace" / "looked-at" / "driving_log.csv").read_bytes()
    assert person.page.text_content("main .event")  # what has just happened to the recording
    person.page.click("nav a[href='#recordings']")
    person.page.wait_for_selector(".film img")
    assert person.page.text_content("main .event") == ""  # is no news of another view
    plot = person.page.locator(".plot .u-over").first.bounding_box()
    y = plot["y"] + plot["height"] / 2
    person.page.mouse.move(plot["x"] + plot["width"] * 0.25, y)
    person.page.mouse.down()
    person.page.mouse.move(plot["x"] + plot["width"] * 0.5, y, steps=5)
    person.page.mouse.up()
    person.page.wait_for_function("() => document.querySelector('#selected').textContent")
    first, last = map(int, person.page.text_content("#selected").split("-"))
    person.page.keyboard.press("x")
    person.page.wait_for_function(
        f"() => document.querySelector('#left-out')?.textContent === 'left out: {last - first + 1} frames'"
    )
    folder = tmp_path / "workspace" / "looked-at"
    assert edits_of(folder)[0].leave_out.tolist() == list(range(first + 1, last + 2))
    assert (folder / "driving_log.csv").read_bytes() == log
    person.page.click("#undo")
    person.page.wait_for_function(
        "() => document.querySelector('#left-out').textContent === 'left out: 0 frames'"
    )
    assert edits_of(folder) == []
    person.page.keyboard.press("ArrowRight")
    person.page.wait_for_function("() => document.querySelector('#scrub').value === '1'")
    person.page.set_viewport_size({"width": 390, "height": 844})
    scrub = person.page.locator("#scrub").bounding_box()
    assert scrub["width"] >= 180
    assert scrub["x"] + scrub["width"] <= 390
    assert person.value("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.long
def test_a_session_of_dagger_with_two_rounds(serve, visit, tmp_path):
    """Demonstrations, a first policy, two rounds with corrections, training in between, and another day."""
    env = gymnasium.make("UdacitySim-v0", cameras=CAMERAS, mode="training")
    record(env, PurePursuit(), tmp_path / "workspace" / "demonstrations", seconds=20.0)
    env.close()
    cockpit = serve()
    person = visit(cockpit.url, "teach")
    for name, value in {
        "rounds": 2,
        "frames": 100_000,
        "members": 2,
        "epochs": 1,
        "steps_per_epoch": 4,
        "laps": 0,
    }.items():
        person.page.fill(f"#lesson-{name}", str(value))
    person.page.fill("#lesson-name", "lessons")
    person.page.click("#begin")
    person.until("state.poll.teaching?.phase === 'training'")
    person.until("state.poll.teaching?.phase === 'ready'")
    for number in (1, 2):
        person.page.click("#drive-round")
        person.page.click("#start-round")
        person.until("state.frame.round && state.frame.who === 'autonomous' && state.frame.round.frames > 3")
        assert person.value("state.frame.car.doubt") is not None
        person.hold("ArrowLeft")
        person.until("state.frame.who === 'correcting' && state.frame.round.labels >= 3")
        person.release("ArrowLeft")
        if number == 1:  # that one was fumbled
            person.page.keyboard.press("Backspace")
            person.until("state.frame.round.labels === 0 && state.frame.who === 'autonomous'")
            person.hold("ArrowUp")
            person.until("state.frame.round.labels >= 3")
            person.release("ArrowUp")
        person.page.click("#end-round")
        person.until(
            f"state.poll.teaching.round === {number + 1} && state.poll.teaching.phase !== 'training'"
        )
    person.until("state.poll.teaching.phase === 'done'")
    rounds = person.value("state.poll.teaching.log")
    assert [entry["round"] for entry in rounds] == [0, 1, 2]
    assert all(entry["labels"] >= 3 and entry["takeovers"] >= 1 for entry in rounds[1:])
    folder = tmp_path / "workspace" / "lessons" / "learner"
    first = open_recording(folder / "rounds" / "round_001")
    assert len(first) == rounds[1]["frames"]
    assert {extra["driver"] for episode in first.episodes for extra in episode.extras()} == {
        "policy",
        "human",
    }
    assert (folder / "policy" / "policy.json").exists()
    person.page.click("#leave")
    person.until("state.poll.teaching === null")
    person.page.click("button:has-text('lessons')")
    person.until("state.poll.teaching?.phase === 'done'")


@pytest.mark.long
def test_train_and_evaluate_from_the_page(serve, visit, tmp_path):
    env = gymnasium.make("UdacitySim-v0", cameras=CAMERAS, mode="training")
    record(env, PurePursuit(), tmp_path / "workspace" / "demonstrations", seconds=15.0)
    env.close()
    person = visit(serve().url, "judge")
    person.page.fill("#train-epochs", "2")
    person.page.fill("#train-settings", "steps_per_epoch=3")
    person.page.click("#train")
    person.page.wait_for_selector("[data-job='1'][data-state='done']")
    person.page.wait_for_selector("[data-job='1'] canvas")
    person.page.check("input[name=policy][value=pure_pursuit]")
    person.page.click("#evaluate")
    person.page.wait_for_selector("[data-job='2'][data-state='done']")
    person.page.wait_for_selector("[data-job='2'] video")
    person.reads("[data-job='2']", "all laps driven")
    person.page.click("nav a[href='#drive']")
    person.until(
        "[...document.querySelectorAll('#driver option')].some((o) => o.value.startsWith('training'))"
    )


@pytest.mark.long
def test_labels_afterwards(serve, visit, tmp_path):
    """A round that the policy drives alone, labelled image by image, and trained on."""
    env = gymnasium.make("UdacitySim-v0", cameras=CAMERAS, mode="training")
    record(env, PurePursuit(), tmp_path / "workspace" / "demonstrations", seconds=15.0)
    env.close()
    person = visit(serve().url, "teach")
    lesson = {"rounds": 1, "frames": 12, "members": 1, "epochs": 1, "steps_per_epoch": 2, "laps": 0}
    for name, value in lesson.items():
        person.page.fill(f"#lesson-{name}", str(value))
    person.page.fill("#lesson-name", "labelled")
    person.page.select_option("#lesson-method", "dagger")
    person.page.click("#begin")
    person.until("state.poll.teaching?.phase === 'ready'")
    person.page.click("#drive-round")
    person.page.click("#start-round")
    person.until("state.frame.round?.full")
    person.page.click("#end-round")
    person.page.wait_for_selector("#labelling img")
    person.page.keyboard.press("ArrowLeft")
    person.page.keyboard.press("Enter")
    person.page.fill("#label-steering", "0.5")
    person.page.click("#label")
    for _ in range(10):
        person.page.click("#skip")
    person.page.click("#train-labels")
    person.until("state.poll.teaching?.phase === 'done'")
    folder = tmp_path / "workspace" / "labelled" / "learner" / "rounds" / "round_001"
    extras = [extra for episode in open_recording(folder).episodes for extra in episode.extras()]
    assert [extra["expert_action"][0] for extra in extras if "expert_action" in extra][1] == 0.5
    assert sum(bool(extra.get("skipped")) for extra in extras) == 10
    assert person.value("state.poll.teaching.log[1].labels") == 2
