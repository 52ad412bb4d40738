// Classic script, first in <head>: sets the chosen theme before anything is painted.
// theme.js has the switch; both know the same key.
(function () {
  try {
    const theme = JSON.parse(localStorage.getItem('lesson-tracer.theme'));
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // no storage: the system's theme
  }
})();
