"""Training: photos, clips and one painting become a checkpoint. What stands where:

- a run: cli, train_progress, config, loop, learner (one step), batches, distributed, device, run_files, checkpoint,
  preview, event_log
- mathematics: network, features, losses, motion
- pairs: data (photos), clips, chunks, mixture, flow, flow_raft
- st-data: data_cli; collect, links, web, download, collected, video_check, collect_progress; prepare, clip_files,
  video, measurement, shots, shards, dataset_folder, contact_sheet, prepare_report, prepare_progress
"""
