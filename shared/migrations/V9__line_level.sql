-- Which line of a key has had the least is asked at each call, and when a line is opened: a key may have thousands of them.
create index line_served_idx on line (waiting_for, kind, served);
