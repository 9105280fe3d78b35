//! Pages in a real browser.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headless_chrome::protocol::cdp::Log::LogEntryLevel;
use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::{Browser, LaunchOptions, Tab};

/// A page in headless Chromium, with the errors its console has shown.
pub struct Page {
    _browser: Browser,
    tab: Arc<Tab>,
    problems: Arc<Mutex<Vec<String>>>,
}

impl Page {
    /// Opens a file in a window of this width and height; `None`, with a message, where there is no Chromium.
    /// The variable `DEEPCLUSTER_TEST_BROWSER` names another than those in the usual places.
    ///
    /// # Panics
    /// If the browser fails.
    pub fn open(file: &Path, size: (u32, u32)) -> Option<Self> {
        let usual =
            ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
        let named = std::env::var_os("DEEPCLUSTER_TEST_BROWSER").map(PathBuf::from);
        let Some(path) = named.or_else(|| usual.into_iter().find(|path| path.exists())) else {
            eprintln!("skipped: there is no Chromium to open the page in");
            return None;
        };
        let options = LaunchOptions::default_builder()
            .path(Some(path))
            .sandbox(false)
            .window_size(Some(size))
            .idle_browser_timeout(Duration::from_secs(120))
            .args(
                ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
                    .map(OsStr::new)
                    .to_vec(),
            )
            .build()
            .unwrap();
        let browser = Browser::new(options).unwrap();
        let tab = browser.new_tab().unwrap();
        tab.enable_log().unwrap();
        tab.enable_runtime().unwrap();
        let problems = Arc::new(Mutex::new(Vec::new()));
        let heard = problems.clone();
        let listen = move |event: &Event| match event {
            Event::LogEntryAdded(added) if added.params.entry.level == LogEntryLevel::Error => {
                heard.lock().unwrap().push(added.params.entry.text.clone());
            }
            Event::RuntimeExceptionThrown(thrown) => {
                heard.lock().unwrap().push(format!("{:?}", thrown.params.exception_details.exception));
            }
            _ => {}
        };
        tab.add_event_listener(Arc::new(listen)).unwrap();
        tab.navigate_to(&format!("file://{}", file.display())).unwrap().wait_until_navigated().unwrap();
        Some(Self { _browser: browser, tab, problems })
    }

    /// The value of a script as text.
    pub fn text(&self, script: &str) -> String {
        self.evaluate(&format!("String({script})"), false)
    }

    /// The text that a promise resolves to.
    pub fn awaited(&self, promise: &str) -> String {
        self.evaluate(promise, true)
    }

    fn evaluate(&self, script: &str, awaits: bool) -> String {
        let answer = self.tab.evaluate(script, awaits).unwrap();
        answer.value.and_then(|value| value.as_str().map(str::to_string)).unwrap_or_default()
    }

    /// The value of a script as a number.
    ///
    /// # Panics
    /// If it is not a natural number.
    pub fn number(&self, script: &str) -> usize {
        let text = self.text(script);
        text.parse().unwrap_or_else(|_| panic!("{script} is {text}"))
    }

    /// Runs a script and lets the page settle.
    pub fn act(&self, script: &str) {
        self.tab.evaluate(&format!("{{ {script} }}"), false).unwrap();
        let frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
        self.tab.evaluate(frames, true).unwrap();
    }

    /// Sets the field that a selector finds, as a person would.
    pub fn change(&self, field: &str, value: &str) {
        self.act(&format!(
            "const field = document.querySelector('{field}'); field.value = '{value}'; \
             field.dispatchEvent(new Event('input', {{bubbles: true}})); field.dispatchEvent(new Event('change'));"
        ));
    }

    /// # Panics
    /// If the console has shown an error.
    pub fn assert_no_problems(&self) {
        let problems = self.problems.lock().unwrap();
        assert!(problems.is_empty(), "{problems:?}");
    }
}
