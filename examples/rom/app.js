async function refresh() {
    const answer = await fetch("status");
    const status = await answer.json();
    document.getElementById("uptime").textContent = status.uptime_s;
}

refresh();
setInterval(refresh, 1000);
