// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chromium without a window, driven over its debugging pipe (Chrome DevTools Protocol).

use super::display::Screen;
use crate::programs::Guard;
use crate::{POLL, wait_until};
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest wait for the browser's answer, and for a condition on the page.
pub const LIMIT: Duration = Duration::from_mins(1);

/// How long a browser may take to end. It is killed then.
const END: Duration = Duration::from_secs(5);

/// The names under which distributions install Chromium.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A size of the page, and the colours and the motion that the system prefers.
#[derive(Debug, Clone, Copy)]
pub struct Appearance {
    /// In CSS pixels.
    pub width: usize,
    /// In CSS pixels.
    pub height: usize,
    /// The system's dark theme.
    pub dark: bool,
    /// `prefers-reduced-motion`.
    pub still: bool,
}

impl Appearance {
    /// A laptop's window in the light theme.
    pub const LAPTOP: Self = Self { width: 1280, height: 800, dark: false, still: false };
    /// A small phone.
    pub const PHONE: Self = Self { width: 360, height: 740, dark: false, still: false };

    /// The same in the dark theme.
    #[must_use]
    pub const fn dark(self) -> Self {
        Self { dark: true, ..self }
    }
}

/// A browser with one page; ended when dropped.
pub struct Browser {
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    next_id: u64,
    events: Vec<Value>,
    /// The answers to the next questions for a user and a password; `None` presses Cancel.
    logins: VecDeque<Option<(String, String)>>,
    process: Guard,
    _home: TempDir,
}

impl Browser {
    /// Starts a browser with an empty profile.
    ///
    /// # Errors
    /// If Chromium is missing or does not answer.
    pub fn start() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let name = NAMES.into_iter().find(|name| is_installed(name));
        let name = name.context("there is no chromium: run scripts/packages test")?;
        let log = home.path().join("chromium.log");
        // Chromium reads commands from descriptor 3 and writes to 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh", name])
            .args(["--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"])
            .args(["--no-default-browser-check", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
            // The page is ours. Containers, and root, have no namespaces for the sandbox.
            .args(["--no-sandbox", "--mute-audio", "--force-color-profile=srgb"])
            .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
            .arg("about:blank")
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let process = Guard::new(child);
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            input,
            messages,
            session: None,
            next_id: 0,
            events: Vec::new(),
            logins: VecDeque::new(),
            process,
            _home: home,
        };
        browser.attach().with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        Ok(browser)
    }

    fn attach(&mut self) -> Result<()> {
        let made = self.command("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": made["targetId"], "flatten": true});
        let attached = self.command("Target.attachToTarget", &attach)?;
        self.session = Some(attached["sessionId"].as_str().context("no session")?.to_owned());
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.command(&format!("{domain}.enable"), &json!({}))?;
        }
        self.set_appearance(Appearance::LAPTOP)
    }

    /// Sends a command of the protocol and waits for its result.
    ///
    /// # Errors
    /// If the browser refuses it, or does not answer.
    pub fn command(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        let id = self.send(method, parameters)?;
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let received = self.messages.recv_timeout(left);
            let message = received.with_context(|| format!("{method}: no answer"))?;
            if message["id"] == id {
                ensure!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return Ok(message["result"].clone());
            }
            self.note(message);
        }
    }

    /// Sends a command and returns its number.
    fn send(&mut self, method: &str, parameters: &Value) -> Result<u64> {
        self.next_id += 1;
        let mut message = json!({"id": self.next_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.input.write_all(&bytes).with_context(|| format!("{method}: the browser has ended"))?;
        Ok(self.next_id)
    }

    /// Keeps an event. Those of the domain Fetch are answered.
    fn note(&mut self, message: Value) {
        let request = &message["params"]["requestId"];
        let answer = match message["method"].as_str() {
            None => return,
            Some("Fetch.requestPaused") => {
                Some(("Fetch.continueRequest", json!({"requestId": request})))
            }
            Some("Fetch.authRequired") => {
                let response = match self.logins.pop_front().flatten() {
                    Some((user, password)) => json!({"response": "ProvideCredentials",
                        "username": user, "password": password}),
                    None => json!({"response": "CancelAuth"}),
                };
                let answer = json!({"requestId": request, "authChallengeResponse": response});
                Some(("Fetch.continueWithAuth", answer))
            }
            Some(_) => None,
        };
        if let Some((method, parameters)) = answer {
            // If the browser has ended, the next command says so.
            let _ = self.send(method, &parameters);
        }
        self.events.push(message);
    }

    /// Sets what is answered when the browser asks for a user and a password, instead of its dialog, which a
    /// browser without a window does not show: one answer for each question, `None` to cancel. All further
    /// questions are cancelled.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn answer_logins(&mut self, answers: &[Option<(&str, &str)>]) -> Result<()> {
        let owned =
            |it: &Option<(&str, &str)>| it.map(|(user, word)| (user.to_owned(), word.to_owned()));
        self.logins = answers.iter().map(owned).collect();
        self.command("Fetch.enable", &json!({"handleAuthRequests": true})).map(drop)
    }

    /// The scheme and the realm of each question for a user and a password, and what was asked for.
    pub fn asked_logins(&mut self) -> Vec<[String; 3]> {
        self.receive_events();
        let asked = self.events.iter().filter(|it| it["method"] == "Fetch.authRequired");
        let asked = asked.map(|it| {
            let challenge = &it["params"]["authChallenge"];
            [&challenge["scheme"], &challenge["realm"], &it["params"]["request"]["url"]]
                .map(|text| text.as_str().unwrap_or_default().to_owned())
        });
        asked.collect()
    }

    /// Takes the events that have arrived.
    fn receive_events(&mut self) {
        loop {
            match self.messages.recv_timeout(Duration::ZERO) {
                Ok(message) => self.note(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Sets the size of the page and the system's preferences.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn set_appearance(&mut self, appearance: Appearance) -> Result<()> {
        let size = json!({
            "width": appearance.width, "height": appearance.height,
            "deviceScaleFactor": 1, "mobile": appearance.width < 500,
        });
        self.command("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = if appearance.dark { "dark" } else { "light" };
        let motion = if appearance.still { "reduce" } else { "no-preference" };
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]});
        self.command("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// Runs a script in each page that is opened from now on, before the page's own.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn run_first(&mut self, script: &str) -> Result<()> {
        let source = json!({"source": script});
        self.command("Page.addScriptToEvaluateOnNewDocument", &source).map(drop)
    }

    /// Opens an address.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&mut self, address: &str) -> Result<()> {
        let opened = self.command("Page.navigate", &json!({"url": address}))?;
        ensure!(opened.get("errorText").is_none(), "{address}: {}", opened["errorText"]);
        Ok(())
    }

    /// The value of an expression in the page; promises are awaited.
    ///
    /// # Errors
    /// If it throws.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let call = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let done = self.command("Runtime.evaluate", &call)?;
        if let Some(exception) = done.get("exceptionDetails") {
            bail!("{expression}: {}", exception["exception"]["description"]);
        }
        Ok(done["result"]["value"].clone())
    }

    /// The value of an expression as text.
    ///
    /// # Errors
    /// If it throws, or is not a text.
    pub fn text(&mut self, expression: &str) -> Result<String> {
        let value = self.value(expression)?;
        Ok(value.as_str().with_context(|| format!("{expression} is {value}"))?.to_owned())
    }

    /// Waits until an expression is true. One that throws, as while a page loads, is not.
    ///
    /// # Errors
    /// If it is not true in time; the error has the page's text.
    pub fn wait_for(&mut self, expression: &str) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !matches!(self.value(expression), Ok(Value::Bool(true))) {
            if Instant::now() > end {
                let text = self.value("document.body.innerText").unwrap_or_default();
                bail!("{expression} is not true within {LIMIT:?}: {text}");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// A picture of the page.
    ///
    /// # Errors
    /// If the browser makes none.
    pub fn screenshot(&mut self) -> Result<Screen> {
        let png = self.png()?;
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info()?;
        let size = reader.output_buffer_size().context("a size")?;
        let mut pixels = vec![0; size];
        let frame = reader.next_frame(&mut pixels)?;
        if frame.color_type == png::ColorType::Rgba {
            pixels =
                pixels.as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect();
        }
        Ok(Screen::new(pixels, frame.width as usize))
    }

    /// A picture of the page as a PNG file.
    ///
    /// # Errors
    /// If the browser makes none.
    pub fn png(&mut self) -> Result<Vec<u8>> {
        let shot = self.command("Page.captureScreenshot", &json!({"format": "png"}))?;
        Ok(STANDARD.decode(shot["data"].as_str().context("no picture")?)?)
    }

    /// The middle of the first element that a selector matches, in pixels of the page.
    ///
    /// # Errors
    /// If there is none.
    pub fn middle_of(&mut self, selector: &str) -> Result<(f64, f64)> {
        let [left, top, width, height] = self.box_of(selector)?;
        Ok((left + width / 2.0, top + height / 2.0))
    }

    /// Left, top, width and height of the first element that a selector matches.
    ///
    /// # Errors
    /// If there is none.
    pub fn box_of(&mut self, selector: &str) -> Result<[f64; 4]> {
        let selector = json!(selector);
        let of = self.value(&format!(
            "(() => {{ const it = document.querySelector({selector}).getBoundingClientRect(); \
             return [it.left, it.top, it.width, it.height]; }})()"
        ))?;
        Ok(serde_json::from_value(of)?)
    }

    /// Clicks at a position.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn click_at(&mut self, position: (f64, f64)) -> Result<()> {
        self.press(position)?;
        self.release(position)
    }

    /// Moves the pointer to a position and presses the left button there.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn press(&mut self, position: (f64, f64)) -> Result<()> {
        self.point(position)?;
        self.mouse("mousePressed", position, 1)
    }

    /// Releases the left button at a position.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn release(&mut self, position: (f64, f64)) -> Result<()> {
        self.mouse("mouseReleased", position, 0)
    }

    fn mouse(&mut self, kind: &str, (x, y): (f64, f64), buttons: u8) -> Result<()> {
        let event = json!({"type": kind, "x": x, "y": y, "button": "left",
            "buttons": buttons, "clickCount": 1});
        self.command("Input.dispatchMouseEvent", &event).map(drop)
    }

    /// Moves the pointer to a position.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn point(&mut self, (x, y): (f64, f64)) -> Result<()> {
        let event = json!({"type": "mouseMoved", "x": x, "y": y});
        self.command("Input.dispatchMouseEvent", &event).map(drop)
    }

    /// Clicks the first element that a selector matches.
    ///
    /// # Errors
    /// If there is none.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        let middle = self.middle_of(selector)?;
        self.click_at(middle)
    }

    /// Presses a key: a character, or the name of another key such as `Tab`.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn key(&mut self, name: &str) -> Result<()> {
        // The codes of keys that move the focus or press a widget; a character needs none.
        let code = match name {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "PageUp" => 33,
            "PageDown" => 34,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut down = json!({"type": "keyDown", "key": name, "windowsVirtualKeyCode": code});
        if name == "Enter" {
            down["text"] = json!("\r");
        } else if name.chars().count() == 1 {
            down["text"] = json!(name);
        }
        self.command("Input.dispatchKeyEvent", &down)?;
        let up = json!({"type": "keyUp", "key": name, "windowsVirtualKeyCode": code});
        self.command("Input.dispatchKeyEvent", &up).map(drop)
    }

    /// Types a text into what has the focus.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.command("Input.insertText", &json!({"text": text})).map(drop)
    }

    /// What the console, the log and uncaught exceptions have reported as warnings and errors.
    pub fn problems(&mut self) -> Vec<String> {
        self.receive_events();
        let problem = |event: &Value| {
            let parameters = &event["params"];
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" => {
                    Some(parameters["exceptionDetails"]["exception"]["description"].to_string())
                }
                "Runtime.consoleAPICalled" => {
                    let is_bad = ["error", "warning", "assert"].map(Value::from);
                    is_bad.contains(&parameters["type"]).then(|| parameters["args"].to_string())
                }
                "Log.entryAdded" => {
                    let entry = &parameters["entry"];
                    let is_bad = entry["level"] == "error" || entry["level"] == "warning";
                    is_bad.then(|| format!("{} {}", entry["text"], entry["url"]))
                }
                _ => None,
            }
        };
        self.events.iter().filter_map(problem).collect()
    }

    /// The addresses that the pages have asked for.
    pub fn requests(&mut self) -> Vec<String> {
        self.receive_events();
        let sent = self.events.iter().filter(|it| it["method"] == "Network.requestWillBeSent");
        sent.filter_map(|it| it["params"]["request"]["url"].as_str()).map(str::to_owned).collect()
    }

    /// A header of the response to an address.
    pub fn response_header(&mut self, address: &str, name: &str) -> Option<String> {
        self.receive_events();
        let responses = self.events.iter().filter(|it| it["method"] == "Network.responseReceived");
        let mut responses = responses.map(|it| &it["params"]["response"]);
        let headers = &responses.find(|it| it["url"] == address)?["headers"];
        let mut fields = headers.as_object()?.iter();
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        value.as_str().map(str::to_owned)
    }

    /// Waits until a condition on the browser is true, where it is not one of the page alone.
    ///
    /// # Panics
    /// If it does not hold in time.
    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        wait_until(what, LIMIT, || holds(self));
    }
}

impl Drop for Browser {
    /// Ends the browser, with all its processes: those of one that is killed still write into its folder while that
    /// is removed.
    fn drop(&mut self) {
        self.session = None;
        if self.send("Browser.close", &json!({})).is_ok() {
            // Otherwise it is killed.
            let _ = self.process.wait(END);
        }
    }
}

fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
