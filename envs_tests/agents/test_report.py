"""Pages of runs: whole, self-contained, safe whatever the user called things; and the list of runs in the browser."""

import html
import json
import re
import shutil
import socket
import struct
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import agents
import n2n_gym.teachers
from agents.commands.main import main
from agents.report.charts import curves
from agents.report.heading import dataset_of, moment, teacher_of
from agents.report.listing import listed
from agents.report.page import write_report
from agents.report.run import read_run
from agents.report.server import RunServer, link
from agents.report.students import Explained, side_by_side
from agents.search.compress import compress
from agents.search.history import Episode, front, write_history
from agents.search.profile import profile
from agents.search.report import draw_curves
from agents.search.result import RESULT
from agents.search.run_folder import LOCK, RunFolder, read_start
from agents.search.student import network_folder
from envs_tests.conftest import toy_arrays
from n2n_gym.errors import InputError
from n2n_gym.problem import Problem
from n2n_gym.system.files import write_json

EVIL = '</script><img src=x onerror="alert(1)">'


class Net(nn.Module):
    """With names that a page has to show as they are."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(12 * 16, 3)

    def forward(self, images):
        return self.head(self.body(self.stem(images)).flatten(1))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of an imported network, whose classes are called what nobody should call them."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("N2N_HOME", str(folder / "home"))
        patch.chdir(folder)
        np.savez("data.npz", **toy_arrays(), class_names=np.array([EVIL, "b", "c"]))
        torch.manual_seed(0)
        name = n2n_gym.teachers.add(Net(), name="mine", dataset="data.npz")
        words = {"iterations": 2, "rollouts": 3, "workers": 0, "device": "cpu", "final_trainings": 2, "final_epochs": 2}
        plain = {"finalists": 2, "speed": False, "out": "runs/first", "constraint": "latency_ms<=1000"}
        compress(teacher=name, dataset="data.npz", command=f"n2n compress {EVIL}", **words, **plain)
        write_json(folder / "profile.json", profile(Problem("mine", "data.npz"), device="cpu", images=20, renewed=20))
    return folder / "runs" / "first"


def page_of(*folders, **more):
    return write_report(folders, **more).read_text()


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL).group(1))


def without_plotly(page):
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert sum("Plotly" in script and len(script) > 10**6 for script in scripts) == 1
    return page.replace(max(scripts, key=len), "")


def test_a_page_holds_all_that_was_asked_for(run, tmp_path):
    page = without_plotly(page_of(run, out=tmp_path / "page.html", profiles=[run.parent.parent / "profile.json"]))
    for heading in ("All students", "How the search went", "What it is worth", "layer by layer", "were worth", "Time", "made"):
        assert heading in page
    result = json.loads((run / RESULT).read_text())
    for text in (result["verdict"], "width-scaled", "luck", result["started"], result["machine"]["python"], "torch"):
        assert html.escape(str(text)) in page
    for name in ("stem.0", "body.0", "head"):
        assert f"<td>{name}</td>" in page
    data = data_of(page)["runs"][0]
    assert set(data["pareto"]) == {"parameters", "macs", "latency_ms"}
    assert set(data["curves"]) == {"1", "2"}
    tried = {episode.fingerprint for episode in read_run(run).history if not episode.reason}
    assert {student["id"] for student in data["students"]} == tried
    drawn = {number for trace in data["pareto"]["macs"]["data"] for number in trace.get("customdata", [])}
    assert drawn == set(range(len(tried)))


def test_nothing_is_loaded_and_nothing_breaks_out(run, tmp_path):
    page = without_plotly(page_of(run, out=tmp_path / "page.html"))
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert EVIL not in page
    assert "<img" not in page
    assert html.escape(EVIL, quote=True).replace("&quot;", "&#34;") in page  # the class and the command are shown, as text
    assert page.count("<script") == page.count("</script>") == 3


def test_what_removed_layers_were_worth_is_left_out_where_nobody_measured_it(run, tmp_path):
    page = page_of(run, out=tmp_path / "page.html")
    removed = [pair for pair in side_by_side(read_run(run).teacher, read_run(run).students["student"]) if not pair.student]
    assert ("n2n teacher profile mine" in page) == bool(removed)
    assert "points lost" not in page
    other = json.loads((run.parent.parent / "profile.json").read_text()) | {"identity": "another teacher's"}
    write_json(tmp_path / "profile.json", other)
    assert read_run(run, [tmp_path / "profile.json"]).profile is None
    with pytest.raises(InputError, match="no profile at"):
        read_run(run, [tmp_path / "nowhere.json"])


def test_a_profile_of_another_training_or_of_other_images_is_refused(run, tmp_path):
    """The architecture alone is not the teacher."""
    measured, path = json.loads((run.parent.parent / "profile.json").read_text()), tmp_path / "profile.json"
    assert measured["weights"] == json.loads((run / "teacher.json").read_text())["weights"]
    for other in ({"name": f"{measured['name']}-n60"}, {"weights": "0" * 64}):
        write_json(path, {**measured, **other})
        assert read_run(run, [path]).profile is None
        with pytest.raises(InputError, match=f"is of another teacher.*n2n teacher profile {measured['name']}$"):
            page_of(run, out=tmp_path / "page.html", profiles=[path])
    assert not (tmp_path / "page.html").exists()
    del measured["weights"]  # as an older version left it
    write_json(path, measured)
    assert read_run(run, [path]).profile is not None


def test_layers_side_by_side_are_those_of_both_networks(run):
    found = read_run(run)
    student = found.students["student"]
    pairs = side_by_side(found.teacher, student)
    assert [pair.name for pair in pairs][:3] == ["stem.0", "stem.1", "body.0"]
    assert sum(pair.teacher.parameters for pair in pairs) == found.teacher.architecture.parameters
    assert sum(pair.student.macs for pair in pairs if pair.student) == student.architecture.macs
    assert sum(pair.student is not None for pair in pairs) == len(student.architecture.nodes)


def test_a_chosen_students_architecture_is_the_one_that_was_trained(run):
    explained = Explained(read_run(run))
    for row in explained.rows:
        assert sum(explained.texts[number] != "" for number in row["layers"]) >= 1
        if row["stage"] == 1:  # what its actions say is removed is not there
            for shape, decided in zip(row["layers"], row["decided"], strict=True):
                assert (explained.texts[decided] != "removed") or explained.texts[shape] == ""


def test_a_run_that_goes_on_has_a_page(run, tmp_path):
    for name in ("config.json", "teacher.json", "history.csv", "stage1.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    page = without_plotly(page_of(tmp_path))
    assert "has not finished" in page
    assert "What it is worth" not in page
    assert len(data_of(page)["runs"][0]["students"]) == len(read_run(run).students_tried)
    teacher = json.loads((tmp_path / "teacher.json").read_text())
    for name in ("weights", "val_class_accuracy", "test_accuracy"):  # as an older version left it
        del teacher[name]
    (tmp_path / "teacher.json").write_text(json.dumps(teacher))
    assert "layers" in data_of(page_of(tmp_path))["runs"][0]["students"][0]
    (tmp_path / "teacher.json").unlink()  # as a still older one did
    students = data_of(page_of(tmp_path))["runs"][0]["students"]
    assert students
    assert "layers" not in students[0]
    (tmp_path / "history.csv").unlink()
    assert "has not finished" in page_of(tmp_path)


def test_what_is_said_of_a_table_stands_above_what_scrolls(run, tmp_path):
    page = without_plotly(page_of(run, run, out=tmp_path / "page.html", profiles=[run.parent.parent / "profile.json"]))
    wide = re.findall(r'<div class="wide">(.*?)</div>', page, re.DOTALL)
    assert len(wide) > 10
    assert not any("caption" in each for each in wide)
    above = re.findall(r"<figcaption>[^<]+</figcaption>\n<div class=.wide.><table", page)
    assert len(above) >= 9  # one of all runs, four or more of each


def test_a_page_says_at_its_top_what_the_run_is_of(run, tmp_path):
    page = without_plotly(page_of(run, out=tmp_path / "page.html"))
    [about] = re.findall(r'</h1>.*?<p class="about">(.*?)</p>', page, re.DOTALL)
    for text in ("<b>mine</b>", "data.npz, all images</b>", "<b>dyna</b>", "<b>1+2</b>", "<b>finished</b>"):
        assert text in about
    result = json.loads((run / RESULT).read_text())
    shown = page.partition("All settings")[0]
    assert re.sub(r'"[^"]*"', "", shown).count(result["finished"]) == 0  # as it was written down, for machines alone
    assert moment(result["finished"]) in about
    shutil.copytree(run, tmp_path / "stopped")
    (tmp_path / "stopped" / RESULT).unlink()
    assert "<b>stopped</b>" in page_of(tmp_path / "stopped")


def test_what_tells_runs_apart_is_said():
    assert moment("2026-11-28T05:58:52+00:00") == "2026-11-28 05:58:52 UTC"
    assert moment("2026-11-28T05:58:52+05:30") == "2026-11-28 05:58:52 UTC+05:30"
    assert moment("2026-11-28T05:58:52") == "2026-11-28 05:58:52"
    assert moment("some day") == "some day"
    narrow = {"teacher": "resnet18", "width": 0.05, "dataset": "digits", "train_size": 1_060}
    assert teacher_of(narrow) == "resnet18 x 0.05"
    assert dataset_of(narrow) == "digits, 1,060 images"
    assert teacher_of({"teacher": "conv4", "width": 1.0}) == "conv4"
    assert dataset_of({"dataset": "digits", "train_size": None}) == "digits, all images"
    assert teacher_of({}) == dataset_of({}) == ""


@pytest.mark.parametrize(
    ("updates", "marks"),
    [(1, [0]), (3, [0, 1, 2]), (11, [*range(11)]), (20, [*range(0, 20, 2)]), (100, [*range(0, 100, 10)])],
)
def test_an_axis_of_updates_has_whole_numbers(updates, marks):
    history = [Episode(1, update, 0, "", "", 0.9, 0.5, 9, 1, 0.5, "", 0.0, 1.0, False) for update in range(updates)]
    layout = curves(history)[1]["layout"]
    assert layout["xaxis"]["tickvals"] == marks
    assert all(isinstance(mark, int) for mark in layout["xaxis"]["tickvals"])
    assert layout["yaxis"]["title"]["text"] == "reward, accuracy, compression"


def test_the_bar_of_buttons_is_not_there_where_nothing_hovers(run, tmp_path):
    page = without_plotly(page_of(run, out=tmp_path / "page.html"))
    assert 'touched = matchMedia("(hover: none)").matches' in page
    assert 'displayModeBar = touched ? false : "hover"' in page


def test_a_picture_of_a_search_says_what_is_drawn(run, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr("agents.search.report.save_figure", lambda figure, path: kept.append(figure))
    draw_curves(tmp_path / "curves.png", [*read_run(run).history], "mine")
    [figure] = kept
    figure.canvas.draw()
    for axes in figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel() == "reward, accuracy, compression"
        legend = axes.get_legend()
        said = " ".join(text.get_text() for text in legend.get_texts())
        for word in ("reward, mean", "accuracy, mean", "lowest to highest", "smallest student", "largest student"):
            assert word in said
        assert legend.get_window_extent().x0 >= axes.get_window_extent().x1  # it covers no data
        assert not axes.texts


def test_several_runs_share_one_page(run, tmp_path):
    page = without_plotly(page_of(run, run, out=tmp_path / "both.html"))
    data = data_of(page)
    assert len(data["runs"]) == 2
    assert len(data["fronts"]["parameters"]["data"]) == 2
    assert page.count('<details class="run"') == 2


def test_the_front_is_what_no_other_student_beats():
    def episode(accuracy, parameters, excess=0.0):
        return Episode(1, 0, 0, "", "", accuracy, 0.5, parameters, 1, 0.5, "", excess, 1.0, False)

    students = [episode(0.9, 30), episode(0.8, 20), episode(0.7, 25), episode(0.8, 22), episode(0.95, 5, excess=0.1)]
    assert front(students, "parameters") == [students[1], students[0]]
    assert front(students[4:], "parameters") == students[4:]
    assert front([], "parameters") == []


def test_the_commands(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.split() == [str(run / "report.html")]
    assert main(["report", str(run), str(run)]) == 0
    assert Path("report.html").is_file()
    for words, message in (
        (["report"], "which runs?"),
        (["report", str(tmp_path)], "holds no run"),
        (["browse", "nowhere"], "no folder at nowhere"),
        (["browse", str(run), "--port", "99999"], "port 99999 cannot be had"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err


def at_another_place(run, folder, **configuration):
    """A copy of a run that has not ended, with other options."""
    shutil.copytree(run, folder)
    (folder / RESULT).unlink()
    config = json.loads((folder / "config.json").read_text())
    config["configuration"] |= configuration
    write_json(folder / "config.json", config)
    return folder


def episode_of(run, name, **changes):
    """An episode of stage 1 whose student has all layers, and is called `name`."""
    [first, *_] = (episode for episode in read_run(run).history if episode.stage == 1)
    whole = {"actions": "0" * len(first.actions), "reason": "", "excess": 0.0, "seconds": 1.0, "from_store": False}
    return replace(first, fingerprint=name * 16, **{**whole, **changes})


def test_a_page_knows_a_student_by_its_furthest_training(run, tmp_path):
    folder = at_another_place(run, tmp_path / "halved", constraint=[])
    stopped, other = episode_of(run, "a", accuracy=0.9, rung=1), episode_of(run, "b", accuracy=0.7, parameters=90)
    on = replace(stopped, accuracy=0.6, rung=0, parameters=stopped.parameters)
    write_history(folder, [episode_of(run, "a", reason="timeout", accuracy=0.0), stopped, other, on])
    assert read_run(folder).students_tried == (on, other)
    [row, _] = data_of(page_of(folder))["runs"][0]["students"]
    assert row["accuracy"] == 0.6


def test_a_page_holds_students_of_stage_1_to_the_limits_of_the_end(run, tmp_path):
    """Headroom let them by, which the student does not have."""
    teacher = read_run(run).teacher.architecture
    most = teacher.parameters // 2
    folder = at_another_place(run, tmp_path / "limited", constraint=[f"parameters<={most}"], headroom=4.0)
    over = episode_of(run, "a", accuracy=0.9, parameters=teacher.parameters)
    kept = replace(over, fingerprint="b" * 16, stage=2, accuracy=0.8, parameters=most)
    write_history(folder, [over, kept])
    assert [student.excess for student in read_run(folder).students_tried] == [pytest.approx(teacher.parameters / most - 1), 0]
    page = without_plotly(page_of(folder))
    assert "Hollow ones exceed a limit" in page
    figure = data_of(page)["runs"][0]["pareto"]["parameters"]["data"]
    assert [trace["marker"]["symbol"] for trace in figure[:2]] == [["circle-open"], ["diamond"]]
    [line] = (trace for trace in figure if trace["name"] == "front")
    assert (line["x"], line["y"]) == ([most], [0.8])
    assert "bbbbbbbb" in page.partition("The front of accuracy")[2].partition("</table>")[0]
    for unknown in ({"constraint": ["/nowhere/limits.json"]}, {"headroom": None}):  # then by those of its stage
        config = json.loads((folder / "config.json").read_text())
        config["configuration"] |= unknown
        write_json(folder / "config.json", config)
        assert read_run(folder).students_tried == (over, kept)


def test_commands_to_copy_bear_any_folder(run, tmp_path):
    folder = at_another_place(run, tmp_path / "Lauf \u00e4\u00df 1: a?b*")
    quoted = f"'{folder}'"
    assert f"n2n compress --resume {html.escape(quoted).replace('&#x27;', '&#39;')}<" in page_of(folder)
    shutil.copy(run / RESULT, folder)
    shutil.rmtree(folder / "student")
    with pytest.raises(InputError) as error:
        network_folder(folder)
    assert f"n2n compress --resume {quoted} makes" in str(error.value)
    with pytest.raises(InputError) as error:
        read_start(folder / "student")
    assert str(error.value).endswith(f"--out '{folder / 'student'}'")


def test_what_is_not_known_of_a_run_is_not_said(run, tmp_path):
    assert json.loads((run / RESULT).read_text())["threads"] is None
    page = without_plotly(page_of(run, out=tmp_path / "page.html")).partition("All settings")[0]
    assert '<td>device</td><td class="left">cpu</td>' in page
    known = json.loads((run / RESULT).read_text()) | {"threads": 2}
    shutil.copytree(run, tmp_path / "known")
    write_json(tmp_path / "known" / RESULT, known)
    assert '<td>device</td><td class="left">cpu, 2 threads</td>' in page_of(tmp_path / "known")


@pytest.mark.usefixtures("undrawn")
def test_a_run_in_python_has_its_page(settings, tmp_path, monkeypatch, caplog):
    short = {**settings, "finalists": 0, "speed": False, "stages": "1", "iterations": 1}
    result = agents.compress(**short)
    assert (tmp_path / "run" / "report.html").is_file()
    (tmp_path / "run" / "report.html").unlink()

    def fails(folders):
        raise InputError("the disk is full")

    monkeypatch.setattr("agents.report.page.write_report", fails)
    assert agents.compress(resume=settings["out"], workers=0) == result
    assert f"the run in {settings['out']} has no page: the disk is full" in caplog.text
    with pytest.raises(TypeError, match="unexpected keyword argument 'widht'"):
        agents.compress(widht=1)


def test_students_are_distinct_ones_and_episodes_are_all(run, tmp_path):
    page = without_plotly(page_of(run, run, out=tmp_path / "page.html"))
    found = read_run(run)
    assert f"<b>{len(found.students_tried)}</b><span>distinct students evaluated</span>" in page
    assert "<th>distinct students</th>" in page
    with served(run.parent) as server:
        listing = fetched(server.address)[1]
    assert ">episodes</button>" in listing
    assert f"<td>{len(found.history)}</td>" in listing


def test_a_reader_who_leaves_is_no_error(run, monkeypatch):
    """Before the page is there, so that it can be sent to nobody."""
    left, over, errors = threading.Event(), threading.Event(), []

    def slow(_server):
        left.wait(10)
        return " " * 10**7

    def finished(server, request):
        ThreadingHTTPServer.shutdown_request(server, request)
        over.set()

    monkeypatch.setattr(RunServer, "listing", slow)
    monkeypatch.setattr(RunServer, "handle_error", lambda *_: errors.append(sys.exception()))
    monkeypatch.setattr(RunServer, "shutdown_request", finished)
    with served(run.parent) as server:
        with socket.create_connection(server.server_address) as reader:
            reader.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leave with a reset
        left.set()
        assert over.wait(10)
    assert errors == []


@contextmanager
def served(root):
    with RunServer(root, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def fetched(address, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_browser_lists_runs_and_serves_their_pages_alone(run):
    (run.parent / "<i>" / "deeper").mkdir(parents=True)
    (run.parent / "<i>" / "deeper" / "config.json").write_text("damaged")
    (run.parent / "elsewhere").symlink_to(run)
    with served(run.parent) as server:
        assert server.server_address[0] == "127.0.0.1"
        status, page = fetched(server.address)
        assert status == 200
        assert "&lt;i&gt;/deeper" in page
        assert "<i>" not in page
        assert "finished" in page
        assert "data.npz, all images</td>" in page
        assert "elsewhere" not in page
        assert fetched(server.address + link("first")[1:])[0] == 200
        assert "not a readable" in fetched(server.address + link("<i>/deeper")[1:])[1]
        for path in ("run/", "run/..", "run/%2e%2e%2f", "run/first%2f..%2ffirst", "run/elsewhere", "first/config.json"):
            assert fetched(server.address + path)[0] == 404, path
        assert fetched(server.address, Host="evil.example")[0] == 403


def test_the_list_bears_files_that_vanish_while_it_is_made(run, tmp_path, monkeypatch):
    """A run that is going on replaces its files, and a folder may be removed."""
    start = read_start(run)
    with RunFolder(tmp_path / "going-on", start) as folder:
        write_history(folder.path, [])
        (tmp_path / "removed").mkdir()
        look = Path.stat

        def vanishes(path, **how):
            if path.name == "history.csv":
                raise FileNotFoundError(path)
            return look(path, **how)

        listing = Path.iterdir

        def forbidden(path):
            if path.name == "removed":
                raise PermissionError(path)
            return listing(path)

        monkeypatch.setattr(Path, "stat", vanishes)
        monkeypatch.setattr(Path, "iterdir", forbidden)
        [entry] = listed(tmp_path)
        assert entry.name == "going-on"


def test_the_list_bears_a_lock_that_nobody_may_look_at(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / LOCK).unlink(missing_ok=True)
    (tmp_path / "run" / LOCK).mkdir()  # as another user's file, it cannot be opened
    [entry] = listed(tmp_path)
    assert entry.state == "not finished"


def test_the_list_tells_which_runs_go_on(run, tmp_path):
    start = read_start(run)
    (tmp_path / "empty").mkdir()
    with RunFolder(tmp_path / "going-on", start):
        assert [entry.state for entry in listed(tmp_path)] == ["running"]
    assert [entry.state for entry in listed(tmp_path)] == ["stopped"]
    assert [entry.accuracy is not None for entry in listed(run)] == [True]
